-- browser_activity: what happened in customers' browsers, less what was erased, as one of the streams of events.
-- rows
SELECT 'stream_events' AS stream, occurred_at, name AS event, customer_id, session_id AS session
FROM stream_events
WHERE deleted_at IS NULL
-- where nothing feeds its tables
SELECT
    CAST(NULL AS STRING) AS stream, CAST(NULL AS TIMESTAMP) AS occurred_at, CAST(NULL AS STRING) AS event,
    CAST(NULL AS BIGINT) AS customer_id, CAST(NULL AS STRING) AS session
WHERE false
