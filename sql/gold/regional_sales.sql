-- regional_sales: what the shop earned on each day in each city.
-- Grain: date, city
-- Owner: Shop
-- Distribution: AUTO
-- Sort key: date
-- date DATE: business day
-- city VARCHAR(128): where the customer lives now, also for what was sold before they moved; UNKNOWN for an order of nobody or where no city is known
-- revenue DECIMAL(18, 2) [reporting currency]: revenue of sold orders, reporting currency
-- orders BIGINT: sold orders
-- customers BIGINT: distinct customers of those orders
-- average_order_value DECIMAL(18, 2) [reporting currency]: revenue per order, reporting currency
-- affected
SELECT sold_on AS date FROM touched_orders
UNION
SELECT sold.sold_on AS date
FROM changed_customers AS customers
INNER JOIN sold_orders AS sold ON sold.customer_id = customers.customer_id
-- rows
SELECT
    sales.sold_on AS date,
    coalesce(customers.city, 'UNKNOWN') AS city,
    CAST(sum(sales.revenue) AS DECIMAL(18, 2)) AS revenue,
    count(*) AS orders,
    count(DISTINCT sales.customer_id) AS customers,
    CAST(sum(sales.revenue) / count(*) AS DECIMAL(18, 2)) AS average_order_value
FROM sales
LEFT JOIN customers ON customers.customer_id = sales.customer_id AND customers.is_current
WHERE sales.sold_on IN (SELECT date FROM affected)
GROUP BY 1, 2
