-- ad_group_age_segments: what ad groups reached on each day by age.
-- rows
SELECT date, platform, account_id, campaign_id, 'age' AS dimension, age AS segment, currency, impressions, clicks, cost, conversions, conversion_value
FROM ad_group_ages
-- where nothing feeds its tables
SELECT
    CAST(NULL AS DATE) AS date, CAST(NULL AS STRING) AS platform, CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS campaign_id,
    CAST(NULL AS STRING) AS dimension, CAST(NULL AS STRING) AS segment, CAST(NULL AS STRING) AS currency, CAST(NULL AS BIGINT) AS impressions,
    CAST(NULL AS BIGINT) AS clicks, CAST(NULL AS DECIMAL(18, 6)) AS cost, CAST(NULL AS DECIMAL(18, 6)) AS conversions,
    CAST(NULL AS DECIMAL(18, 6)) AS conversion_value
WHERE false
