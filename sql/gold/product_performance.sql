-- product_performance: what each product has sold so far.
-- Grain: product_id
-- Owner: Shop
-- Distribution: AUTO
-- Sort key: product_id
-- product_id BIGINT: the shop's product
-- department VARCHAR(128): department of the product, as it is now
-- category VARCHAR(256): category of the product, as it is now; UNKNOWN where it has none
-- brand VARCHAR(128): brand of the product, as it is now
-- revenue DECIMAL(18, 2) [reporting currency]: what was paid for it in sold orders, reporting currency
-- units BIGINT: pieces sold
-- orders BIGINT: sold orders with the product
-- customers BIGINT: distinct customers of those orders
-- average_price DECIMAL(18, 4) [reporting currency]: revenue per piece, reporting currency
-- first_sold_on DATE: business day of the first sold order with it
-- last_sold_on DATE: business day of the last sold order with it
-- affected
SELECT items.product_id
FROM touched_orders AS orders
INNER JOIN order_items AS items ON items.order_id = orders.order_id
UNION
SELECT product_id FROM changed_order_items
UNION
SELECT product_id FROM changed_products
-- rows
SELECT
    products.product_id,
    products.department,
    coalesce(products.product_category, 'UNKNOWN') AS category,
    products.brand,
    CAST(sum(items.revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(sum(items.units) AS BIGINT) AS units,
    count(DISTINCT items.order_id) AS orders,
    count(DISTINCT items.customer_id) AS customers,
    CAST(sum(items.revenue) / nullif(sum(items.units), 0) AS DECIMAL(18, 4)) AS average_price,
    min(items.sold_on) AS first_sold_on,
    max(items.sold_on) AS last_sold_on
FROM sold_items AS items
INNER JOIN products ON products.product_id = items.product_id AND products.is_current
WHERE products.product_id IN (SELECT product_id FROM affected)
GROUP BY 1, 2, 3, 4
