-- By day and campaign: its ads of the platforms' own ledgers, in the account's currency and by the rate of the day.
SELECT
    ads.day AS date, ads.platform, ads.account_id, ads.campaign_id, ads.currency,
    sum(ads.impressions) AS impressions,
    sum(ads.clicks) AS clicks,
    round(sum(ads.cost), 2) AS cost,
    round(sum(ads.cost) * any_value(worth.rate), 2) AS cost_reporting
FROM ads
LEFT JOIN worth ON worth.day = ads.day AND worth.currency = ads.currency
GROUP BY ALL
