-- valued_visits: the sessions in the web shop, with what they brought in the reporting currency by the rate of their day; NULL without a rate.
-- rows
SELECT
    visits.customer_id, visits.visited_on, visits.page_views, visits.conversions,
    CAST(
        visits.conversion_value * CASE WHEN visits.currency = '${reporting_currency}' THEN 1 ELSE rates.rate END AS DECIMAL(18, 2)
    ) AS conversion_value
FROM visits
LEFT JOIN rates ON rates.date = visits.visited_on AND rates.currency = visits.currency
