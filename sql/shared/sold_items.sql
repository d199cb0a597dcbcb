-- sold_items: the lines of the orders that count, each with its revenue: what was paid for it after discounts, converted as its order is.
-- rows
SELECT
    items.product_id, sales.order_id, sales.customer_id, sales.sold_on,
    items.quantity AS units,
    CAST(items.sales_value * sales.rate AS DECIMAL(18, 2)) AS revenue
FROM order_items AS items
INNER JOIN sales ON sales.order_id = items.order_id
