-- store_activity: what the stores' systems have pushed, as one of the streams of events; a till has no sessions.
-- rows
SELECT 'pushed_events' AS stream, occurred_at, event_type AS event, customer_id, CAST(NULL AS STRING) AS session
FROM pushed_events
-- where nothing feeds its tables
SELECT
    CAST(NULL AS STRING) AS stream, CAST(NULL AS TIMESTAMP) AS occurred_at, CAST(NULL AS STRING) AS event,
    CAST(NULL AS BIGINT) AS customer_id, CAST(NULL AS STRING) AS session
WHERE false
