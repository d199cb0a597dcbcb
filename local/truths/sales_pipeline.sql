-- By month in which deals were made, pipeline and stage: how many there are, and what they are worth by the rate of the day on which they were made.
SELECT
    date_trunc('month', deals.day)::date AS month,
    deals.pipeline,
    deals.stage,
    count(*) AS deals,
    count(*) FILTER (WHERE deals.amount IS NULL OR worth.rate IS NULL) AS unvalued_deals,
    sum(round(deals.amount * worth.rate, 2)) AS value
FROM deals
LEFT JOIN worth ON worth.day = deals.day AND worth.currency = deals.currency
GROUP BY ALL
