-- order_values: what each order that counts is worth, in its own and in the reporting currency, and whether its lines add up to it.
-- Grain: order_id
-- Owner: Shop
-- Distribution: KEY (order_id)
-- Sort key: date
-- order_id BIGINT: a sold order
-- date DATE: business day
-- customer_id BIGINT: the shop's customer; NULL for an order of nobody
-- currency VARCHAR(16): currency of the order
-- amount DECIMAL(14, 2): total of the order, in its own currency
-- rate DECIMAL(24, 16): what one unit of the currency is worth in the reporting currency; 1 in that currency itself, NULL where there is none
-- rate_date DATE: the day of the ECB's on which the rate was quoted; NULL in the reporting currency, which needs none
-- revenue DECIMAL(18, 2): the amount in the reporting currency, to the cent; NULL without a rate
-- lines BIGINT: lines of the order that there are
-- lines_amount DECIMAL(18, 2): what was paid for these lines, in the order's currency
-- difference DECIMAL(18, 2): the amount less that of the lines, in the order's currency
-- adds_up BOOLEAN: whether there is no difference
-- affected
SELECT order_id FROM touched_orders
UNION
SELECT order_id FROM changed_order_items
-- rows
WITH lines AS (
    SELECT order_id, count(*) AS lines, sum(sales_value) AS amount
    FROM order_items
    WHERE order_id IN (SELECT order_id FROM affected)
    GROUP BY 1
)

SELECT
    sales.order_id,
    sales.sold_on AS date,
    sales.customer_id,
    sales.currency,
    sales.amount,
    CAST(sales.rate AS DECIMAL(24, 16)) AS rate,
    sales.rate_date,
    sales.revenue,
    coalesce(lines.lines, 0) AS lines,
    CAST(coalesce(lines.amount, 0) AS DECIMAL(18, 2)) AS lines_amount,
    CAST(sales.amount - coalesce(lines.amount, 0) AS DECIMAL(18, 2)) AS difference,
    sales.amount = coalesce(lines.amount, 0) AS adds_up
FROM sales
LEFT JOIN lines ON lines.order_id = sales.order_id
WHERE sales.order_id IN (SELECT order_id FROM affected)
