-- site_activity: what happened on the web site and in its checkout, as one of the streams of events.
-- rows
SELECT 'web_events' AS stream, occurred_at, event_type AS event, customer_id, session_id AS session
FROM web_events
-- where nothing feeds its tables
SELECT
    CAST(NULL AS STRING) AS stream, CAST(NULL AS TIMESTAMP) AS occurred_at, CAST(NULL AS STRING) AS event,
    CAST(NULL AS BIGINT) AS customer_id, CAST(NULL AS STRING) AS session
WHERE false
