-- campaign_demographics: whom each campaign reached on each day, by age, by gender and by country; each of the three has all of what the platform could tell.
-- Grain: date, platform, account_id, campaign_id, dimension, segment
-- Owner: Marketing
-- Distribution: AUTO
-- Sort key: date
-- date DATE: day in the ad account's time zone
-- platform VARCHAR(32): facebook or google
-- account_id VARCHAR(64): ad account
-- campaign_id VARCHAR(64): campaign
-- dimension VARCHAR(16): age, gender or country; rows of different dimensions tell the same impressions and are not to be added up
-- segment VARCHAR(64): age group such as 25-34, female or male, country as of ISO 3166 alpha-2; unknown where the platform cannot tell
-- impressions BIGINT: times shown
-- clicks BIGINT: clicks
-- cost DECIMAL(18, 2) [reporting currency]: cost in the reporting currency by the rate of the day; NULL where a part of it has no rate
-- conversions DECIMAL(18, 2): conversions that the platform claims
-- conversion_value DECIMAL(18, 2) [reporting currency]: their value in the reporting currency, as of cost
-- ctr DECIMAL(18, 6): clicks per impression
-- cpa DECIMAL(18, 4) [reporting currency]: cost per conversion, reporting currency
-- roas DECIMAL(18, 4): conversion value per cost
-- affected
SELECT date FROM changed_ad_person_segments
UNION
SELECT date FROM changed_ad_country_segments
UNION
SELECT date FROM changed_ad_group_age_segments
UNION
SELECT date FROM changed_ad_group_gender_segments
UNION
SELECT date FROM changed_campaign_country_segments
UNION
SELECT date FROM changed_rates
-- rows
WITH parts AS (
    SELECT * FROM ad_person_segments
    UNION ALL
    SELECT * FROM ad_country_segments
    UNION ALL
    SELECT * FROM ad_group_age_segments
    UNION ALL
    SELECT * FROM ad_group_gender_segments
    UNION ALL
    SELECT * FROM campaign_country_segments
),

rated AS (
    SELECT parts.*, CASE WHEN parts.currency = '${reporting_currency}' THEN 1 ELSE rates.rate END AS rate
    FROM parts
    LEFT JOIN rates ON rates.date = parts.date AND rates.currency = parts.currency
    WHERE parts.date IN (SELECT date FROM affected)
),

segments AS (
    SELECT
        date, platform, account_id, campaign_id, dimension,
        coalesce(segment, 'unknown') AS segment,
        sum(impressions) AS impressions,
        sum(clicks) AS clicks,
        CASE WHEN count(rate) = count(*) THEN CAST(sum(cost * rate) AS DECIMAL(18, 2)) END AS cost,
        sum(conversions) AS conversions,
        CASE WHEN count(rate) = count(*) THEN CAST(sum(conversion_value * rate) AS DECIMAL(18, 2)) END AS conversion_value
    FROM rated
    GROUP BY 1, 2, 3, 4, 5, 6
)

SELECT
    date, platform, account_id, campaign_id, dimension, segment, impressions, clicks, cost,
    CAST(conversions AS DECIMAL(18, 2)) AS conversions,
    conversion_value,
    CAST(clicks / nullif(impressions, 0) AS DECIMAL(18, 6)) AS ctr,
    CAST(cost / nullif(conversions, 0) AS DECIMAL(18, 4)) AS cpa,
    CAST(conversion_value / nullif(cost, 0) AS DECIMAL(18, 4)) AS roas
FROM segments
