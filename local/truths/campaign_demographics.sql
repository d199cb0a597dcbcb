-- By day, campaign and group of people: what the platforms' own ledgers say of whom it reached, by the rate of the day.
SELECT
    parts.day AS date, parts.platform, parts.account_id, parts.campaign_id, parts.dimension, parts.segment,
    sum(parts.impressions) AS impressions,
    sum(parts.clicks) AS clicks,
    CASE WHEN bool_and(worth.rate IS NOT NULL) THEN round(sum(parts.cost * worth.rate), 2) END AS cost,
    round(sum(parts.conversions), 2) AS conversions,
    CASE WHEN bool_and(worth.rate IS NOT NULL) THEN round(sum(parts.conversion_value * worth.rate), 2) END AS conversion_value
FROM parts
LEFT JOIN worth ON worth.day = parts.day AND worth.currency = parts.currency
GROUP BY ALL
