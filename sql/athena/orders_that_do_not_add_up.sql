-- Orders whose lines do not add up to them, by month: how many there are, and how much of their revenue no line accounts for.
SELECT
    date_trunc('month', date) AS month,
    count(*) AS orders,
    sum(amount) AS amount,
    sum(lines_amount) AS lines_amount
FROM order_values
WHERE NOT adds_up
GROUP BY 1
ORDER BY 1
