-- customer_analytics: what each customer has bought so far and which segment that puts them in.
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
-- affected
SELECT customer_id FROM touched_orders
-- rows
SELECT
    customer_id,
    CAST(sum(revenue) AS DECIMAL(18, 2)) AS lifetime_value,
    count(*) AS orders,
    CAST(sum(revenue) / count(*) AS DECIMAL(18, 2)) AS average_order_value,
    min(sold_on) AS first_order_date,
    max(sold_on) AS last_order_date,
    CAST(count(*) * 30 / greatest(30, datediff(max(sold_on), min(sold_on)) + 1) AS DECIMAL(9, 2)) AS orders_per_month,
    CASE
        WHEN sum(revenue) > 10000 THEN 'VIP'
        WHEN sum(revenue) > 5000 THEN 'High'
        WHEN sum(revenue) > 1000 THEN 'Medium'
        ELSE 'Low'
    END AS segment
FROM sales
WHERE customer_id IN (SELECT customer_id FROM affected)
GROUP BY customer_id
