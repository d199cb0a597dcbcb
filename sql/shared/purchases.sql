-- purchases: the orders that count with the person who bought, by the customer's record where nobody knows the person; NULL for an order of nobody.
-- rows
SELECT
    sales.order_id, sales.ordered_at, sales.sold_on, sales.revenue,
    coalesce(persons.person_id, 'shop:' || sales.customer_id) AS who
FROM sales
LEFT JOIN persons ON persons.record = 'shop:' || sales.customer_id
