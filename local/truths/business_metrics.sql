-- By month and category: what was paid for the items of orders that count, and how many orders, customers and pieces that were.
SELECT
    date_trunc('month', orders.day)::date AS month,
    coalesce(products.product_category, 'UNKNOWN') AS category,
    sum(items.sales_value) AS revenue,
    count(DISTINCT orders.order_id) AS orders,
    count(DISTINCT orders.customer_id) AS customers,
    sum(items.quantity) AS units
FROM order_items AS items, counting_orders AS orders, products
WHERE items.order_id = orders.order_id AND items.product_id = products.product_id
GROUP BY ALL
