-- customer_analytics: what each customer has bought so far and which segment that puts them in.
-- Grain: customer_id
-- Owner: Shop
-- Distribution: KEY (customer_id)
-- Sort key: customer_id
-- customer_id BIGINT: the shop's customer
-- lifetime_value DECIMAL(18, 2): total of the customer's completed orders, USD
-- orders BIGINT: completed orders
-- average_order_value DECIMAL(18, 2): lifetime_value per order, USD
-- first_order_date DATE: day of the first completed order, UTC
-- last_order_date DATE: day of the last completed order, UTC; recency is counted from here
-- orders_per_month DECIMAL(9, 2): frequency, completed orders per 30 days between first and last order
-- segment VARCHAR(16): VIP over 10,000, High over 5,000, Medium over 1,000, else Low, by lifetime value
-- affected
SELECT DISTINCT customer_id FROM changed_orders WHERE customer_id IS NOT NULL
-- rows
SELECT
    customer_id,
    CAST(sum(total_amount) AS DECIMAL(18, 2)) AS lifetime_value,
    count(*) AS orders,
    CAST(sum(total_amount) / count(*) AS DECIMAL(18, 2)) AS average_order_value,
    CAST(min(ordered_at) AS DATE) AS first_order_date,
    CAST(max(ordered_at) AS DATE) AS last_order_date,
    CAST(
        count(*) * 30 / greatest(30, datediff(max(ordered_at), min(ordered_at)) + 1) AS DECIMAL(9, 2)
    ) AS orders_per_month,
    CASE
        WHEN sum(total_amount) > 10000 THEN 'VIP'
        WHEN sum(total_amount) > 5000 THEN 'High'
        WHEN sum(total_amount) > 1000 THEN 'Medium'
        ELSE 'Low'
    END AS segment
FROM orders
WHERE
    customer_id IN (SELECT customer_id FROM affected)
    AND status = 'completed'
    AND deleted_at IS NULL
GROUP BY customer_id
