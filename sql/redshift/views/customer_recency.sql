-- customer_recency: days since each customer's last order, counted from the newest order in the warehouse.
CREATE OR REPLACE VIEW analytics.customer_recency AS
SELECT
    customer_id,
    segment,
    lifetime_value,
    last_order_date,
    (SELECT MAX(last_order_date) FROM analytics.customer_analytics) - last_order_date AS recency_days
FROM analytics.customer_analytics;
