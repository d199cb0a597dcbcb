-- ad_spend: what the ads of each platform cost on each day, in the currencies of their accounts.
-- rows
SELECT date, platform, currency, cost FROM ad_performance
-- where nothing feeds its tables
SELECT
    CAST(NULL AS DATE) AS date, CAST(NULL AS STRING) AS platform, CAST(NULL AS STRING) AS currency, CAST(NULL AS DECIMAL(18, 6)) AS cost
WHERE false
