-- By order that counts: what it came to, how many lines it has, what was paid for these, and whether that is the same.
SELECT
    orders.order_id,
    orders.day AS date,
    orders.customer_id,
    orders.total_amount AS amount,
    orders.total_amount AS revenue,
    coalesce(items.lines, 0) AS lines,
    coalesce(items.paid, 0.00) AS lines_amount,
    orders.total_amount - coalesce(items.paid, 0.00) AS difference,
    orders.total_amount = coalesce(items.paid, 0.00) AS adds_up
FROM counting_orders AS orders
LEFT JOIN (SELECT order_id, count(*) AS lines, sum(sales_value) AS paid FROM order_items GROUP BY order_id) AS items USING (order_id)
