-- Campaigns that cost most and brought in less than they cost, over all days, in the reporting currency.
SELECT
    platform,
    campaign_id,
    sum(cost_reporting) AS cost,
    sum(conversion_value_reporting) AS conversion_value
FROM marketing_performance
GROUP BY platform, campaign_id
HAVING sum(cost_reporting) > coalesce(sum(conversion_value_reporting), 0)
ORDER BY cost DESC
LIMIT 100
