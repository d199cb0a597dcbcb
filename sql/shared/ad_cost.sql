-- ad_cost: what the ads of each platform cost on each day, in the reporting currency; NULL where a part of it has no rate.
-- rows
WITH rated AS (
    SELECT
        spend.date, spend.platform, spend.cost,
        CASE WHEN spend.currency = '${reporting_currency}' THEN 1 ELSE rates.rate END AS rate
    FROM ad_spend AS spend
    LEFT JOIN rates ON rates.date = spend.date AND rates.currency = spend.currency
)

SELECT date, platform, CASE WHEN count(rate) = count(*) THEN CAST(sum(cost * rate) AS DECIMAL(18, 2)) END AS cost
FROM rated
GROUP BY date, platform
