-- By month in which customers bought first, and months from it: who has bought again, how often, and for how much.
WITH first AS (SELECT customer_id, date_trunc('month', min(day))::date AS cohort FROM counting_orders WHERE customer_id IS NOT NULL GROUP BY ALL),
sizes AS (SELECT cohort, count(*) AS cohort_size FROM first GROUP BY ALL)
SELECT
    cohort,
    datediff('month', cohort, day) AS months_since,
    count(DISTINCT customer_id) AS customers,
    any_value(cohort_size) AS cohort_size,
    count(*) AS orders,
    sum(total_amount) AS revenue
FROM counting_orders JOIN first USING (customer_id) JOIN sizes USING (cohort)
GROUP BY ALL
