-- touched_visitors: customers one of whose sessions in the web shop may have changed: by itself, or by a rate that its day is converted by.
-- rows
SELECT customer_id FROM changed_visits
UNION ALL
SELECT visits.customer_id
FROM changed_rates AS rates
INNER JOIN visits ON visits.visited_on = rates.date AND visits.currency <> '${reporting_currency}'
