-- business_metrics: what the shop earned in each month and product category.
-- Grain: month, category
-- Owner: Shop
-- Distribution: ALL
-- Sort key: month, category
-- month DATE: first day of the month, UTC
-- category VARCHAR(256): product category; UNKNOWN where the product has none
-- revenue DECIMAL(18, 2): sales value of the items of completed orders, reporting currency of the shop (USD)
-- orders BIGINT: completed orders with at least one item of the category
-- customers BIGINT: distinct customers of those orders
-- units BIGINT: pieces sold
-- affected
SELECT DISTINCT CAST(date_trunc('MONTH', items.ordered_at) AS DATE) AS month
FROM changed_order_items AS items
UNION
SELECT DISTINCT CAST(date_trunc('MONTH', items.ordered_at) AS DATE) AS month
FROM changed_orders AS orders
INNER JOIN order_items AS items ON items.order_id = orders.order_id
UNION
SELECT DISTINCT CAST(date_trunc('MONTH', items.ordered_at) AS DATE) AS month
FROM changed_products AS products
INNER JOIN order_items AS items ON items.product_id = products.product_id
-- rows
SELECT
    CAST(date_trunc('MONTH', items.ordered_at) AS DATE) AS month,
    coalesce(products.product_category, 'UNKNOWN') AS category,
    CAST(sum(items.sales_value) AS DECIMAL(18, 2)) AS revenue,
    count(DISTINCT orders.order_id) AS orders,
    count(DISTINCT orders.customer_id) AS customers,
    CAST(sum(items.quantity) AS BIGINT) AS units
FROM order_items AS items
INNER JOIN orders ON orders.order_id = items.order_id
INNER JOIN products ON products.product_id = items.product_id AND products.is_current
WHERE
    CAST(date_trunc('MONTH', items.ordered_at) AS DATE) IN (SELECT month FROM affected)
    AND orders.status = 'completed'
    AND orders.deleted_at IS NULL
GROUP BY 1, 2
