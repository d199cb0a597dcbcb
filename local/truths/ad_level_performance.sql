-- By day and ad: what the platforms' own ledgers say, in the account's currency and by the rate of the day.
SELECT
    ads.day AS date, ads.platform, ads.account_id, ads.ad_id, ads.campaign_id, ads.ad_group_id, ads.currency, ads.impressions, ads.clicks,
    round(ads.cost, 2) AS cost,
    round(ads.cost * worth.rate, 2) AS cost_reporting
FROM ads
LEFT JOIN worth ON worth.day = ads.day AND worth.currency = ads.currency
