-- sold_orders: the orders that count: completed, and neither returned, cancelled nor deleted since; on the business day of the order.
-- rows
SELECT
    order_id, customer_id, store_id, campaign_id, ordered_at, currency,
    total_amount AS amount,
    CAST(from_utc_timestamp(ordered_at, '${business_time_zone}') AS DATE) AS sold_on
FROM orders
WHERE status = 'completed' AND deleted_at IS NULL
