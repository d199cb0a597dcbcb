-- How recently, how often and for how much each customer has bought, each as a fifth of all customers: 5 is the best fifth, 1 the last.
SELECT
    customer_id,
    segment,
    date_diff('day', last_order_date, max(last_order_date) OVER ()) AS recency_days,
    orders,
    lifetime_value,
    ntile(5) OVER (ORDER BY last_order_date, customer_id) AS recency,
    ntile(5) OVER (ORDER BY orders, customer_id) AS frequency,
    ntile(5) OVER (ORDER BY lifetime_value, customer_id) AS monetary
FROM customer_analytics
WHERE last_order_date IS NOT NULL AND lifetime_value IS NOT NULL
