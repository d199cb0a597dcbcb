-- marketing_performance: what each campaign cost and brought in on each day, in the reporting currency.
-- Grain: date, platform, account_id, campaign_id
-- Owner: Marketing
-- Distribution: AUTO
-- Sort key: date
-- date DATE: day in the ad account's time zone
-- platform VARCHAR(32): facebook or google
-- account_id VARCHAR(64): ad account
-- campaign_id VARCHAR(64): campaign
-- currency CHAR(3): the account's currency; NULL on a day on which it told several
-- impressions BIGINT: times shown
-- clicks BIGINT: clicks
-- cost DECIMAL(18, 2) [the account's currency]: cost in the account's currency; NULL on a day on which it told several
-- cost_reporting DECIMAL(18, 2) [reporting currency]: cost in the reporting currency by the rate of the day; NULL where a part of it has no rate
-- conversions DECIMAL(18, 2): conversions that the platform claims
-- conversion_value_reporting DECIMAL(18, 2) [reporting currency]: their value in the reporting currency, as of cost_reporting
-- ctr DECIMAL(18, 6): clicks per impression
-- cpc DECIMAL(18, 4) [reporting currency]: cost per click, reporting currency
-- cpa DECIMAL(18, 4) [reporting currency]: cost per conversion, reporting currency
-- roas DECIMAL(18, 4): conversion value per cost
-- affected
SELECT date FROM changed_ad_performance
UNION
SELECT date FROM changed_rates
-- rows
WITH parts AS (
    SELECT
        date, platform, account_id, campaign_id, currency,
        sum(impressions) AS impressions,
        sum(clicks) AS clicks,
        sum(cost) AS cost,
        sum(conversions) AS conversions,
        sum(conversion_value) AS conversion_value
    FROM ad_performance
    WHERE date IN (SELECT date FROM affected)
    GROUP BY date, platform, account_id, campaign_id, currency
),

converted AS (
    SELECT parts.*, CASE WHEN parts.currency = '${reporting_currency}' THEN 1 ELSE rates.rate END AS rate
    FROM parts
    LEFT JOIN rates ON rates.date = parts.date AND rates.currency = parts.currency
),

days AS (
    SELECT
        date, platform, account_id, campaign_id,
        CASE WHEN count(*) = 1 THEN any_value(currency) END AS currency,
        sum(impressions) AS impressions,
        sum(clicks) AS clicks,
        CASE WHEN count(*) = 1 THEN CAST(any_value(cost) AS DECIMAL(18, 2)) END AS cost,
        CASE WHEN count(rate) = count(*) THEN CAST(sum(cost * rate) AS DECIMAL(18, 2)) END AS cost_reporting,
        sum(conversions) AS conversions,
        CASE WHEN count(rate) = count(*) THEN CAST(sum(conversion_value * rate) AS DECIMAL(18, 2)) END AS conversion_value_reporting
    FROM converted
    GROUP BY date, platform, account_id, campaign_id
)

SELECT
    date, platform, account_id, campaign_id, currency, impressions, clicks, cost, cost_reporting,
    CAST(conversions AS DECIMAL(18, 2)) AS conversions,
    conversion_value_reporting,
    CAST(clicks / nullif(impressions, 0) AS DECIMAL(18, 6)) AS ctr,
    CAST(cost_reporting / nullif(clicks, 0) AS DECIMAL(18, 4)) AS cpc,
    CAST(cost_reporting / nullif(conversions, 0) AS DECIMAL(18, 4)) AS cpa,
    CAST(conversion_value_reporting / nullif(cost_reporting, 0) AS DECIMAL(18, 4)) AS roas
FROM days
