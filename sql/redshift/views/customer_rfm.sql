-- customer_rfm: how recently, how often and for how much each customer has bought, each as a fifth of all customers: 5 is the best fifth, 1 the last.
CREATE OR REPLACE VIEW analytics.customer_rfm AS
SELECT
    customer_id,
    segment,
    (SELECT MAX(last_order_date) FROM analytics.customer_analytics) - last_order_date AS recency_days,
    orders,
    lifetime_value,
    NTILE(5) OVER (ORDER BY last_order_date, customer_id) AS recency,
    NTILE(5) OVER (ORDER BY orders, customer_id) AS frequency,
    NTILE(5) OVER (ORDER BY lifetime_value, customer_id) AS monetary
FROM analytics.customer_analytics
WHERE last_order_date IS NOT NULL AND lifetime_value IS NOT NULL;
