-- customer_analytics: see sql/gold/customer_analytics.sql for what the columns mean.
CREATE TABLE IF NOT EXISTS analytics.customer_analytics (
    customer_id BIGINT NOT NULL,
    lifetime_value DECIMAL(18, 2),
    orders BIGINT,
    average_order_value DECIMAL(18, 2),
    first_order_date DATE,
    last_order_date DATE,
    orders_per_month DECIMAL(9, 2),
    segment VARCHAR(16)
) DISTKEY (customer_id) SORTKEY (customer_id);
