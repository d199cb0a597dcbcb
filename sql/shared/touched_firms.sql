-- touched_firms: firms one of whose orders may have changed: by itself, or by a rate that its day is converted by.
-- rows
SELECT customer_id FROM changed_wholesale_orders
UNION ALL
SELECT sold.customer_id
FROM changed_rates AS rates
INNER JOIN wholesale_orders AS sold ON sold.sold_on = rates.date AND sold.currency <> '${reporting_currency}'
