-- marketing_performance: what each campaign cost and brought in on each day, in the reporting currency.
-- Grain: date, platform, account_id, campaign_id
-- Owner: Marketing
-- Distribution: AUTO
-- Sort key: date
-- date DATE: day in the ad account's time zone
-- platform VARCHAR(32): facebook or google
-- account_id VARCHAR(64): ad account
-- campaign_id VARCHAR(64): campaign
-- currency CHAR(3): the account's currency
-- impressions BIGINT: times shown
-- clicks BIGINT: clicks
-- cost DECIMAL(18, 2): cost in the account's currency
-- cost_reporting DECIMAL(18, 2): cost in the reporting currency, by the newest ECB rate of the day or the ten days before
-- conversions DECIMAL(18, 2): conversions that the platform claims
-- conversion_value_reporting DECIMAL(18, 2): their value in the reporting currency
-- ctr DECIMAL(18, 6): clicks per impression
-- cpc DECIMAL(18, 4): cost per click, reporting currency
-- cpa DECIMAL(18, 4): cost per conversion, reporting currency
-- roas DECIMAL(18, 4): conversion value per cost
-- affected
SELECT DISTINCT date FROM changed_ad_performance
UNION
SELECT DISTINCT ads.date
FROM changed_fx_rates AS rates
INNER JOIN ad_performance AS ads ON ads.date BETWEEN rates.date AND date_add(rates.date, 10)
-- rows
WITH days AS (
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

-- The ECB quotes everything against the euro, which it does not quote itself.
quotes AS (
    SELECT date, quote, rate FROM fx_rates
    UNION ALL
    SELECT DISTINCT date, base AS quote, CAST(1 AS DECIMAL(18, 8)) AS rate FROM fx_rates
),

as_of AS (
    SELECT wanted.date, quotes.quote AS currency, min_by(quotes.rate, wanted.age) AS rate
    FROM (SELECT date, explode(sequence(0, 10)) AS age FROM affected) AS wanted
    INNER JOIN quotes ON quotes.date = date_sub(wanted.date, wanted.age)
    GROUP BY wanted.date, quotes.quote
),

reported AS (
    SELECT
        days.*,
        CAST(days.cost * reporting.rate / own.rate AS DECIMAL(18, 2)) AS cost_reporting,
        CAST(days.conversion_value * reporting.rate / own.rate AS DECIMAL(18, 2)) AS conversion_value_reporting
    FROM days
    LEFT JOIN as_of AS own ON own.date = days.date AND own.currency = days.currency
    LEFT JOIN as_of AS reporting
        ON reporting.date = days.date AND reporting.currency = '${reporting_currency}'
)

SELECT
    date, platform, account_id, campaign_id, currency, impressions, clicks,
    CAST(cost AS DECIMAL(18, 2)) AS cost,
    cost_reporting,
    CAST(conversions AS DECIMAL(18, 2)) AS conversions,
    conversion_value_reporting,
    CAST(clicks / nullif(impressions, 0) AS DECIMAL(18, 6)) AS ctr,
    CAST(cost_reporting / nullif(clicks, 0) AS DECIMAL(18, 4)) AS cpc,
    CAST(cost_reporting / nullif(conversions, 0) AS DECIMAL(18, 4)) AS cpa,
    CAST(conversion_value_reporting / nullif(cost_reporting, 0) AS DECIMAL(18, 4)) AS roas
FROM reported
