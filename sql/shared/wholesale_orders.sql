-- wholesale_orders: the orders of firms that have not been deleted, on the business day of the order.
-- rows
SELECT
    order_id, customer_id, currency, amount,
    CAST(from_utc_timestamp(ordered_at, '${business_time_zone}') AS DATE) AS sold_on
FROM b2b_orders
WHERE deleted_at IS NULL
-- where nothing feeds its tables
SELECT
    CAST(NULL AS BIGINT) AS order_id, CAST(NULL AS BIGINT) AS customer_id, CAST(NULL AS STRING) AS currency, CAST(NULL AS DECIMAL(18, 2)) AS amount,
    CAST(NULL AS DATE) AS sold_on
WHERE false
