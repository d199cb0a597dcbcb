-- marketing_monthly: what each platform cost and brought in by month, in the reporting currency; days without a rate are left out of the sums.
CREATE OR REPLACE VIEW analytics.marketing_monthly AS
SELECT
    CAST(DATE_TRUNC('month', date) AS DATE) AS month,
    platform,
    SUM(impressions) AS impressions,
    SUM(clicks) AS clicks,
    SUM(cost_reporting) AS cost,
    SUM(conversions) AS conversions,
    SUM(conversion_value_reporting) AS conversion_value,
    SUM(conversion_value_reporting) / NULLIF(SUM(cost_reporting), 0) AS roas
FROM analytics.marketing_performance
GROUP BY CAST(DATE_TRUNC('month', date) AS DATE), platform;
