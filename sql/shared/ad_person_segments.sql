-- ad_person_segments: what ads reached on each day by age, and once more by gender, of platforms that tell both of one person.
-- rows
SELECT date, platform, account_id, campaign_id, 'age' AS dimension, age AS segment, currency, impressions, clicks, cost, conversions, conversion_value
FROM ad_demographics
UNION ALL
SELECT date, platform, account_id, campaign_id, 'gender' AS dimension, gender AS segment, currency, impressions, clicks, cost, conversions, conversion_value
FROM ad_demographics
-- where nothing feeds its tables
SELECT
    CAST(NULL AS DATE) AS date, CAST(NULL AS STRING) AS platform, CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS campaign_id,
    CAST(NULL AS STRING) AS dimension, CAST(NULL AS STRING) AS segment, CAST(NULL AS STRING) AS currency, CAST(NULL AS BIGINT) AS impressions,
    CAST(NULL AS BIGINT) AS clicks, CAST(NULL AS DECIMAL(18, 6)) AS cost, CAST(NULL AS DECIMAL(18, 6)) AS conversions,
    CAST(NULL AS DECIMAL(18, 6)) AS conversion_value
WHERE false
