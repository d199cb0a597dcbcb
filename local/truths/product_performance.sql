-- By product: what was paid for it in orders that count, how many pieces, orders and customers that were, and when.
SELECT
    products.product_id,
    products.department,
    coalesce(products.product_category, 'UNKNOWN') AS category,
    products.brand,
    sum(items.sales_value) AS revenue,
    sum(items.quantity) AS units,
    count(DISTINCT orders.order_id) AS orders,
    count(DISTINCT orders.customer_id) AS customers,
    min(orders.day) AS first_sold_on,
    max(orders.day) AS last_sold_on
FROM order_items AS items, counting_orders AS orders, products
WHERE items.order_id = orders.order_id AND items.product_id = products.product_id
GROUP BY ALL
