-- customer_analytics: what each customer has bought so far, which segment that puts them in, and what they do in the web shop.
-- Grain: customer_id
-- Owner: Shop
-- Distribution: KEY (customer_id)
-- Sort key: customer_id
-- customer_id BIGINT: the shop's customer
-- lifetime_value DECIMAL(18, 2) [reporting currency]: revenue of the customer's sold orders, reporting currency
-- orders BIGINT: sold orders
-- average_order_value DECIMAL(18, 2) [reporting currency]: lifetime_value per order, reporting currency
-- first_order_date DATE: business day of the first sold order
-- last_order_date DATE: business day of the last sold order; recency is counted from here
-- orders_per_month DECIMAL(9, 2): frequency, sold orders per 30 days between first and last order
-- segment VARCHAR(16): VIP over 10,000, High over 5,000, Medium over 1,000, else Low, by lifetime value
-- visits BIGINT: sessions in the web shop, less those of customers who objected
-- page_views BIGINT: pages seen in them
-- conversions BIGINT: sessions' conversions as the web analysts count them
-- conversion_value DECIMAL(18, 2) [reporting currency]: their value by the rate of the session's day, reporting currency; it is revenue once more, and not to be added to it
-- last_visit_date DATE: business day of the last session; NULL for whom none is known
-- affected
SELECT customer_id FROM touched_orders
UNION ALL
SELECT customer_id FROM touched_visitors
-- rows
WITH bought AS (
    SELECT
        customer_id,
        sum(revenue) AS revenue,
        count(*) AS orders,
        min(sold_on) AS first_order_date,
        max(sold_on) AS last_order_date
    FROM sales
    WHERE customer_id IN (SELECT customer_id FROM affected)
    GROUP BY customer_id
),

visited AS (
    SELECT
        customer_id,
        count(*) AS visits,
        sum(page_views) AS page_views,
        sum(conversions) AS conversions,
        sum(conversion_value) AS conversion_value,
        max(visited_on) AS last_visit_date
    FROM valued_visits
    WHERE customer_id IN (SELECT customer_id FROM affected)
    GROUP BY customer_id
)

SELECT
    bought.customer_id,
    CAST(bought.revenue AS DECIMAL(18, 2)) AS lifetime_value,
    bought.orders,
    CAST(bought.revenue / bought.orders AS DECIMAL(18, 2)) AS average_order_value,
    bought.first_order_date, bought.last_order_date,
    CAST(
        bought.orders * 30 / greatest(30, datediff(bought.last_order_date, bought.first_order_date) + 1) AS DECIMAL(9, 2)
    ) AS orders_per_month,
    CASE
        WHEN bought.revenue > 10000 THEN 'VIP'
        WHEN bought.revenue > 5000 THEN 'High'
        WHEN bought.revenue > 1000 THEN 'Medium'
        ELSE 'Low'
    END AS segment,
    coalesce(visited.visits, 0) AS visits,
    coalesce(visited.page_views, 0) AS page_views,
    coalesce(visited.conversions, 0) AS conversions,
    CAST(coalesce(visited.conversion_value, 0) AS DECIMAL(18, 2)) AS conversion_value,
    visited.last_visit_date
FROM bought
LEFT JOIN visited ON visited.customer_id = bought.customer_id
