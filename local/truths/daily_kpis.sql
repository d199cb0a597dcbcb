-- By day: what the shop sold and to whom, who came and what ads cost, beside what it was in the weeks before, and whether that is usual.
WITH sold AS (
    SELECT day AS date, sum(total_amount) AS revenue, count(*) AS orders, count(DISTINCT customer_id) AS customers FROM counting_orders GROUP BY ALL
),
came AS (SELECT date, count(*) AS new_customers FROM (SELECT min(day) AS date FROM counting_orders GROUP BY customer_id) GROUP BY ALL),
seen AS (SELECT day AS date, count(*) AS visits FROM visits GROUP BY ALL),
bills AS (
    SELECT ads.day AS date, ads.platform, round(sum(ads.cost * worth.rate), 2) AS cost, bool_and(worth.rate IS NOT NULL) AS whole
    FROM ads LEFT JOIN worth ON worth.day = ads.day AND worth.currency = ads.currency
    GROUP BY ALL
),
spent AS (SELECT date, CASE WHEN bool_and(whole) THEN sum(cost) END AS ad_cost FROM bills GROUP BY ALL),
days AS (
    SELECT
        date,
        coalesce(revenue, 0) AS revenue,
        coalesce(orders, 0) AS orders,
        coalesce(customers, 0) AS customers,
        coalesce(new_customers, 0) AS new_customers,
        coalesce(visits, 0) AS visits,
        CASE WHEN spent.date IS NULL THEN 0 ELSE ad_cost END AS ad_cost
    FROM sold FULL JOIN came USING (date) FULL JOIN seen USING (date) FULL JOIN spent USING (date)
),
-- Each day with each of the days before it, and how many days ago they were.
pairs AS (SELECT days.date, datediff('day', before.date, days.date) AS ago, before.revenue, before.orders FROM days JOIN days AS before ON before.date <= days.date),
sums AS (
    SELECT
        date,
        sum(revenue) FILTER (WHERE ago < 7) AS revenue_7_days,
        sum(revenue) FILTER (WHERE ago < 28) AS revenue_28_days,
        sum(orders) FILTER (WHERE ago < 7) AS orders_7_days,
        sum(orders) FILTER (WHERE ago < 28) AS orders_28_days,
        any_value(revenue) FILTER (WHERE ago = 7) AS revenue_week_ago,
        any_value(revenue) FILTER (WHERE ago = 364) AS revenue_year_ago,
        count(*) FILTER (WHERE ago BETWEEN 1 AND 28) AS number,
        number >= 14 AS enough,
        sum(revenue) FILTER (WHERE ago BETWEEN 1 AND 28) AS revenue_sum,
        sum(orders) FILTER (WHERE ago BETWEEN 1 AND 28) AS orders_sum,
        revenue_sum / number AS revenue_mean,
        stddev_samp(revenue) FILTER (WHERE ago BETWEEN 1 AND 28) AS revenue_spread,
        orders_sum / number AS orders_mean,
        stddev_samp(orders) FILTER (WHERE ago BETWEEN 1 AND 28) AS orders_spread
    FROM pairs
    GROUP BY ALL
)
SELECT
    date, revenue, orders, customers, new_customers,
    per(revenue, orders) AS average_order_value,
    visits, ad_cost,
    revenue_7_days, revenue_28_days, orders_7_days, orders_28_days, revenue_week_ago, revenue_year_ago,
    CASE WHEN enough THEN per(revenue_sum, number) END AS revenue_usual,
    CASE WHEN enough THEN abs(revenue - revenue_mean) > 3 * revenue_spread END AS revenue_is_unusual,
    CASE WHEN enough THEN per(orders_sum, number) END AS orders_usual,
    CASE WHEN enough THEN abs(orders - orders_mean) > 3 * orders_spread END AS orders_are_unusual
FROM days JOIN sums USING (date)
