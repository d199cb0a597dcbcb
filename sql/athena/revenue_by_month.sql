-- What the shop earned in each month, and how that compares with the month before.
SELECT
    month,
    sum(revenue) AS revenue,
    sum(revenue) - lag(sum(revenue)) OVER (ORDER BY month) AS change
FROM business_metrics
GROUP BY month
ORDER BY month
