-- cohort_retention: how many customers of each month's newcomers come back in the months after, and what they bring.
-- Grain: cohort, months_since
-- Owner: Shop
-- Distribution: ALL
-- Sort key: cohort
-- cohort DATE: first day of the month of the customers' first sold order
-- months_since BIGINT [months]: months from the cohort's to the one that the row is about; 0 is the cohort's own
-- customers BIGINT: customers of the cohort with a sold order in that month
-- cohort_size BIGINT: customers of the cohort
-- retention DECIMAL(5, 4): customers per customer of the cohort
-- orders BIGINT: sold orders of the cohort in that month
-- revenue DECIMAL(18, 2) [reporting currency]: revenue of those orders, reporting currency
-- affected
SELECT CAST(date_trunc('MONTH', sold_on) AS DATE) AS cohort FROM touched_orders
UNION
-- Whoever is touched has come in the month of one of their orders, before and after.
SELECT CAST(date_trunc('MONTH', sold.sold_on) AS DATE) AS cohort
FROM touched_orders AS touched
INNER JOIN sold_orders AS sold ON sold.customer_id = touched.customer_id
-- rows
WITH months AS (
    SELECT
        customer_id,
        CAST(date_trunc('MONTH', sold_on) AS DATE) AS month,
        count(*) AS orders,
        sum(revenue) AS revenue
    FROM sales
    WHERE customer_id IS NOT NULL AND sold_on IS NOT NULL
    GROUP BY 1, 2
),

placed AS (
    SELECT months.*, min(month) OVER (PARTITION BY customer_id) AS cohort FROM months
),

cohorts AS (
    SELECT
        cohort,
        CAST(months_between(month, cohort) AS BIGINT) AS months_since,
        count(*) AS customers,
        sum(orders) AS orders,
        CAST(sum(revenue) AS DECIMAL(18, 2)) AS revenue
    FROM placed
    WHERE cohort IN (SELECT cohort FROM affected)
    GROUP BY 1, 2
),

sized AS (
    -- In their first month all of them are there.
    SELECT cohorts.*, max(customers) OVER (PARTITION BY cohort) AS cohort_size FROM cohorts
)

SELECT
    cohort, months_since, customers, cohort_size,
    CAST(customers / cohort_size AS DECIMAL(5, 4)) AS retention,
    orders, revenue
FROM sized
