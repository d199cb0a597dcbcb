-- touched_orders: the orders that count whose value may have changed: by themselves, or by a rate that their day is converted by.
-- rows
SELECT order_id, customer_id, store_id, sold_on FROM changed_sold_orders
UNION ALL
SELECT sold.order_id, sold.customer_id, sold.store_id, sold.sold_on
FROM changed_rates AS rates
INNER JOIN sold_orders AS sold ON sold.sold_on = rates.date AND sold.currency <> '${reporting_currency}'
