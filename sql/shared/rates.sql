-- rates: what one unit of a currency is worth in the reporting currency on each day, by the newest rate of the day or the ten days before.
-- rows
WITH quotes AS (
    SELECT date, quote AS currency, rate FROM fx_rates
    UNION ALL
    -- The ECB quotes everything against the euro, which it does not quote itself.
    SELECT DISTINCT date, base AS currency, CAST(1 AS DECIMAL(18, 8)) AS rate FROM fx_rates
),

ages AS (SELECT explode(sequence(0, 10)) AS age),

as_of AS (
    SELECT
        date_add(quotes.date, ages.age) AS date, quotes.currency,
        min_by(quotes.rate, ages.age) AS rate,
        max(quotes.date) AS quoted_on
    FROM quotes
    CROSS JOIN ages
    GROUP BY 1, 2
)

SELECT
    own.date, own.currency,
    CAST(reporting.rate / own.rate AS DECIMAL(24, 16)) AS rate,
    CASE WHEN reporting.rate IS NOT NULL THEN least(own.quoted_on, reporting.quoted_on) END AS quoted_on
FROM as_of AS own
LEFT JOIN as_of AS reporting ON reporting.date = own.date AND reporting.currency = '${reporting_currency}'
-- where nothing feeds its tables
SELECT
    CAST(NULL AS DATE) AS date, CAST(NULL AS STRING) AS currency, CAST(NULL AS DECIMAL(24, 16)) AS rate, CAST(NULL AS DATE) AS quoted_on
WHERE false
