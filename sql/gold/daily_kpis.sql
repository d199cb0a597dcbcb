-- daily_kpis: the shop's numbers of each day beside those of the weeks before, of a week and of a year ago, and whether they are out of the ordinary.
-- Grain: date
-- Owner: Shop
-- Distribution: ALL
-- Sort key: date
-- date DATE: business day; of the cost, the day in the ad account's time zone. A day without sold orders, visits and ads has no row
-- revenue DECIMAL(18, 2) [reporting currency]: revenue of sold orders, reporting currency
-- orders BIGINT: sold orders
-- customers BIGINT: distinct customers of those orders
-- new_customers BIGINT: those of them whose first sold order is of the day
-- average_order_value DECIMAL(18, 2) [reporting currency]: revenue per order, reporting currency; NULL without orders
-- visits BIGINT: sessions of customers in the web shop
-- ad_cost DECIMAL(18, 2) [reporting currency]: what ads cost, reporting currency; NULL where a part of it has no rate
-- revenue_7_days DECIMAL(18, 2) [reporting currency]: revenue of the day and the 6 before
-- revenue_28_days DECIMAL(18, 2) [reporting currency]: revenue of the day and the 27 before
-- orders_7_days BIGINT: sold orders of the day and the 6 before
-- orders_28_days BIGINT: sold orders of the day and the 27 before
-- revenue_week_ago DECIMAL(18, 2) [reporting currency]: revenue of 7 days ago; NULL where that day has no row
-- revenue_year_ago DECIMAL(18, 2) [reporting currency]: revenue of the same weekday a year ago, which is 364 days; NULL where that day has no row
-- revenue_usual DECIMAL(18, 2) [reporting currency]: mean revenue of those of the 28 days before that have a row; NULL where they are fewer than 14
-- revenue_is_unusual BOOLEAN: whether revenue is more than 3 standard deviations of those days from revenue_usual; NULL without it
-- orders_usual DECIMAL(18, 2): mean of sold orders of the 28 days before, as of revenue_usual
-- orders_are_unusual BOOLEAN: the same of orders
-- affected
WITH moved AS (
    SELECT sold_on AS date FROM touched_buyers
    UNION ALL
    SELECT visited_on AS date FROM changed_visits
    UNION ALL
    SELECT date FROM changed_ad_spend
    UNION ALL
    SELECT date FROM changed_rates
)

-- The days whose 28 days before it is among, and the one that looks back at it a year later.
SELECT explode(sequence(date, date_add(date, 28))) AS date FROM moved
UNION ALL
SELECT date_add(date, 364) AS date FROM moved
-- rows
WITH needed AS (
    SELECT explode(sequence(date_sub(date, 28), date)) AS date FROM affected
    UNION
    SELECT date_sub(date, 364) AS date FROM affected
),

parts AS (
    SELECT
        sold_on AS date, revenue, customer_id,
        true AS sold, NULL AS new_customer, NULL AS visit, NULL AS platform, NULL AS cost
    FROM sales
    UNION ALL
    SELECT sold_on AS date, NULL, NULL, NULL, true, NULL, NULL, NULL FROM newcomers
    UNION ALL
    SELECT visited_on AS date, NULL, NULL, NULL, NULL, true, NULL, NULL FROM visits
    UNION ALL
    SELECT date, NULL, NULL, NULL, NULL, NULL, platform, cost FROM ad_cost
),

days AS (
    SELECT
        date,
        unix_date(date) AS number,
        CASE WHEN count(sold) = 0 THEN 0 ELSE sum(revenue) END AS revenue,
        count(sold) AS orders,
        count(DISTINCT customer_id) AS customers,
        count(new_customer) AS new_customers,
        count(visit) AS visits,
        CASE WHEN count(platform) = count(cost) THEN coalesce(sum(cost), 0) END AS ad_cost
    FROM parts
    WHERE date IN (SELECT date FROM needed)
    GROUP BY date
),

beside AS (
    SELECT
        days.*,
        sum(revenue) OVER week AS revenue_7_days,
        sum(orders) OVER week AS orders_7_days,
        sum(revenue) OVER weeks AS revenue_28_days,
        sum(orders) OVER weeks AS orders_28_days,
        any_value(revenue) OVER (ORDER BY number RANGE BETWEEN 7 PRECEDING AND 7 PRECEDING) AS revenue_week_ago,
        any_value(revenue) OVER (ORDER BY number RANGE BETWEEN 364 PRECEDING AND 364 PRECEDING) AS revenue_year_ago,
        count(date) OVER before AS days_before,
        avg(revenue) OVER before AS revenue_mean,
        stddev_samp(revenue) OVER before AS revenue_spread,
        avg(orders) OVER before AS orders_mean,
        stddev_samp(orders) OVER before AS orders_spread
    FROM days
    WINDOW
        week AS (ORDER BY number RANGE BETWEEN 6 PRECEDING AND CURRENT ROW),
        weeks AS (ORDER BY number RANGE BETWEEN 27 PRECEDING AND CURRENT ROW),
        before AS (ORDER BY number RANGE BETWEEN 28 PRECEDING AND 1 PRECEDING)
)

SELECT
    date,
    CAST(revenue AS DECIMAL(18, 2)) AS revenue,
    orders, customers, new_customers,
    CAST(revenue / nullif(orders, 0) AS DECIMAL(18, 2)) AS average_order_value,
    visits,
    CAST(ad_cost AS DECIMAL(18, 2)) AS ad_cost,
    CAST(revenue_7_days AS DECIMAL(18, 2)) AS revenue_7_days,
    CAST(revenue_28_days AS DECIMAL(18, 2)) AS revenue_28_days,
    orders_7_days, orders_28_days,
    CAST(revenue_week_ago AS DECIMAL(18, 2)) AS revenue_week_ago,
    CAST(revenue_year_ago AS DECIMAL(18, 2)) AS revenue_year_ago,
    CASE WHEN days_before >= 14 THEN CAST(revenue_mean AS DECIMAL(18, 2)) END AS revenue_usual,
    CASE WHEN days_before >= 14 THEN abs(revenue - revenue_mean) > 3 * revenue_spread END AS revenue_is_unusual,
    CASE WHEN days_before >= 14 THEN CAST(orders_mean AS DECIMAL(18, 2)) END AS orders_usual,
    CASE WHEN days_before >= 14 THEN abs(orders - orders_mean) > 3 * orders_spread END AS orders_are_unusual
FROM beside
WHERE date IN (SELECT date FROM affected)
