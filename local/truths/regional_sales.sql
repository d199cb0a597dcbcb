-- By business day and city of the customer: what the orders that count came to, and how many they were.
SELECT
    orders.day AS date,
    coalesce((SELECT customers.city FROM customers WHERE customers.customer_id = orders.customer_id), 'UNKNOWN') AS city,
    sum(orders.total_amount) AS revenue,
    count(*) AS orders,
    count(DISTINCT orders.customer_id) AS customers
FROM counting_orders AS orders
GROUP BY ALL
