-- app_activity: what happened in the shop's apps, as one of the streams of events.
-- rows
SELECT 'app_events' AS stream, occurred_at, event_name AS event, customer_id, object_id || ':' || session_id AS session
FROM app_events
-- where nothing feeds its tables
SELECT
    CAST(NULL AS STRING) AS stream, CAST(NULL AS TIMESTAMP) AS occurred_at, CAST(NULL AS STRING) AS event,
    CAST(NULL AS BIGINT) AS customer_id, CAST(NULL AS STRING) AS session
WHERE false
