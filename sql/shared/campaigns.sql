-- campaigns: on which platform each campaign runs.
-- rows
SELECT campaign_id, platform FROM ad_campaigns
-- where nothing feeds its tables
SELECT CAST(NULL AS STRING) AS campaign_id, CAST(NULL AS STRING) AS platform
WHERE false
