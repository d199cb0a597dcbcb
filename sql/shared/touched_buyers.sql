-- touched_buyers: the business days on which customers bought of whom an order may have changed: one may be their first now, or no more.
-- rows
SELECT customer_id, sold_on FROM touched_orders
UNION ALL
SELECT sold.customer_id, sold.sold_on
FROM touched_orders AS touched
INNER JOIN sold_orders AS sold ON sold.customer_id = touched.customer_id
