-- business_metrics: what the shop earned in each month and product category.
-- Grain: month, category
-- Owner: Shop
-- Distribution: ALL
-- Sort key: month, category
-- month DATE: first day of the month of the business day
-- category VARCHAR(256): product category; UNKNOWN where the product has none
-- revenue DECIMAL(18, 2) [reporting currency]: what was paid for the items of sold orders, reporting currency
-- orders BIGINT: sold orders with at least one item of the category
-- customers BIGINT: distinct customers of those orders
-- units BIGINT: pieces sold
-- affected
SELECT CAST(date_trunc('MONTH', sold_on) AS DATE) AS month FROM touched_orders
UNION
SELECT CAST(date_trunc('MONTH', sold.sold_on) AS DATE) AS month
FROM changed_order_items AS items
INNER JOIN sold_orders AS sold ON sold.order_id = items.order_id
UNION
SELECT CAST(date_trunc('MONTH', sold.sold_on) AS DATE) AS month
FROM changed_products AS products
INNER JOIN order_items AS items ON items.product_id = products.product_id
INNER JOIN sold_orders AS sold ON sold.order_id = items.order_id
-- rows
SELECT
    CAST(date_trunc('MONTH', items.sold_on) AS DATE) AS month,
    coalesce(products.product_category, 'UNKNOWN') AS category,
    CAST(sum(items.revenue) AS DECIMAL(18, 2)) AS revenue,
    count(DISTINCT items.order_id) AS orders,
    count(DISTINCT items.customer_id) AS customers,
    CAST(sum(items.units) AS BIGINT) AS units
FROM sold_items AS items
INNER JOIN products ON products.product_id = items.product_id AND products.is_current
WHERE CAST(date_trunc('MONTH', items.sold_on) AS DATE) IN (SELECT month FROM affected)
GROUP BY 1, 2
