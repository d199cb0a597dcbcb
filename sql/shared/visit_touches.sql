-- visit_touches: sessions of customers in the web shop, as touches of the channel that brought them.
-- rows
SELECT 'shop:' || customer_id AS record, started_at AS touched_at, channel
FROM customer_behavior
WHERE deleted_at IS NULL
-- where nothing feeds its tables
SELECT CAST(NULL AS STRING) AS record, CAST(NULL AS TIMESTAMP) AS touched_at, CAST(NULL AS STRING) AS channel
WHERE false
