-- app_touches: visits of the apps that a link with a source led to, as touches of its channel, told by the source and the medium of the link.
-- rows
SELECT
    'clevertap:' || account_id || ':' || coalesce(identity, object_id) AS record,
    occurred_at AS touched_at,
    CASE
        WHEN utm_medium IN ('email', 'referral', 'sms', 'push') THEN utm_medium
        WHEN utm_medium = 'organic' THEN 'organic_search'
        WHEN utm_source IN ('facebook', 'instagram') THEN 'paid_social'
        WHEN utm_source IN ('google', 'bing') THEN 'paid_search'
        ELSE 'other'
    END AS channel
FROM app_events
WHERE event_name = 'UTM Visited'
-- where nothing feeds its tables
SELECT CAST(NULL AS STRING) AS record, CAST(NULL AS TIMESTAMP) AS touched_at, CAST(NULL AS STRING) AS channel
WHERE false
