-- event_activity: what happened when: events of the apps, the browsers, the web site and the stores, by the minute and by the hour.
-- Grain: period, starts_at, stream, event
-- Owner: Web shop
-- Distribution: AUTO
-- Sort key: starts_at
-- period VARCHAR(8): minute or hour; rows of both tell the same events and are not to be added up
-- starts_at TIMESTAMP [UTC]: when the minute or the hour begins
-- stream VARCHAR(32): silver table of the events: app_events, pushed_events, stream_events or web_events
-- event VARCHAR(1024): the event's name, of a long one the first 256 characters; unknown where it has none
-- events BIGINT: events, each once however often it was sent
-- customers BIGINT: distinct customers of the shop among those that the events are known to be of
-- sessions BIGINT: distinct sessions that the events are of; none in stores
-- affected
WITH moments AS (
    SELECT occurred_at FROM changed_app_activity
    UNION ALL
    SELECT occurred_at FROM changed_browser_activity
    UNION ALL
    SELECT occurred_at FROM changed_site_activity
    UNION ALL
    SELECT occurred_at FROM changed_store_activity
)

SELECT date_trunc('MINUTE', occurred_at) AS starts_at FROM moments
UNION ALL
SELECT date_trunc('HOUR', occurred_at) AS starts_at FROM moments
-- rows
WITH happened AS (
    SELECT * FROM app_activity
    UNION ALL
    SELECT * FROM browser_activity
    UNION ALL
    SELECT * FROM site_activity
    UNION ALL
    SELECT * FROM store_activity
),

placed AS (
    SELECT 'minute' AS period, date_trunc('MINUTE', occurred_at) AS starts_at, happened.* FROM happened
    UNION ALL
    SELECT 'hour' AS period, date_trunc('HOUR', occurred_at) AS starts_at, happened.* FROM happened
)

SELECT
    period, starts_at, stream,
    coalesce(left(event, 256), 'unknown') AS event,
    count(*) AS events,
    count(DISTINCT customer_id) AS customers,
    count(DISTINCT session) AS sessions
FROM placed
WHERE starts_at IN (SELECT starts_at FROM affected)
GROUP BY 1, 2, 3, 4
