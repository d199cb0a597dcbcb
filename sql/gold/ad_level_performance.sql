-- ad_level_performance: what each ad cost and brought in on each day, in the reporting currency.
-- Grain: date, platform, account_id, ad_id
-- Owner: Marketing
-- Distribution: AUTO
-- Sort key: date
-- date DATE: day in the ad account's time zone
-- platform VARCHAR(32): facebook or google
-- account_id VARCHAR(64): ad account
-- ad_id VARCHAR(64): ad
-- campaign_id VARCHAR(64): campaign of the ad
-- ad_group_id VARCHAR(64): ad group of the ad; Facebook's word is ad set
-- currency CHAR(3): the account's currency
-- impressions BIGINT: times shown
-- clicks BIGINT: clicks
-- cost DECIMAL(18, 2) [the account's currency]: cost in the account's currency
-- cost_reporting DECIMAL(18, 2) [reporting currency]: cost in the reporting currency by the rate of the day; NULL without one
-- conversions DECIMAL(18, 2): conversions that the platform claims
-- conversion_value_reporting DECIMAL(18, 2) [reporting currency]: their value in the reporting currency by the rate of the day; NULL without one
-- ctr DECIMAL(18, 6): clicks per impression
-- cpc DECIMAL(18, 4) [reporting currency]: cost per click, reporting currency
-- cpa DECIMAL(18, 4) [reporting currency]: cost per conversion, reporting currency
-- roas DECIMAL(18, 4): conversion value per cost
-- affected
SELECT date FROM changed_ad_performance
UNION
SELECT date FROM changed_rates
-- rows
WITH rated AS (
    SELECT ads.*, CASE WHEN ads.currency = '${reporting_currency}' THEN 1 ELSE rates.rate END AS rate
    FROM ad_performance AS ads
    LEFT JOIN rates ON rates.date = ads.date AND rates.currency = ads.currency
    WHERE ads.date IN (SELECT date FROM affected)
),

converted AS (
    SELECT
        rated.*,
        CAST(cost * rate AS DECIMAL(18, 2)) AS cost_reporting,
        CAST(conversion_value * rate AS DECIMAL(18, 2)) AS conversion_value_reporting
    FROM rated
)

SELECT
    date, platform, account_id, ad_id, campaign_id, ad_group_id, currency, impressions, clicks,
    CAST(cost AS DECIMAL(18, 2)) AS cost,
    cost_reporting,
    CAST(conversions AS DECIMAL(18, 2)) AS conversions,
    conversion_value_reporting,
    CAST(clicks / nullif(impressions, 0) AS DECIMAL(18, 6)) AS ctr,
    CAST(cost_reporting / nullif(clicks, 0) AS DECIMAL(18, 4)) AS cpc,
    CAST(cost_reporting / nullif(conversions, 0) AS DECIMAL(18, 4)) AS cpa,
    CAST(conversion_value_reporting / nullif(cost_reporting, 0) AS DECIMAL(18, 4)) AS roas
FROM converted
