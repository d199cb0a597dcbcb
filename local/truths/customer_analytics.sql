-- By customer: how many orders count, what they came to, when the first and the last one was, the segment, and what they do in the web shop.
WITH seen AS (
    SELECT
        customer_id,
        count(*) AS visits,
        sum(page_views) AS page_views,
        sum(conversions) AS conversions,
        sum(conversion_value) AS conversion_value,
        max(day) AS last_visit_date
    FROM visits
    GROUP BY ALL
)
SELECT
    customer_id,
    sum(total_amount) AS lifetime_value,
    count(*) AS orders,
    per(sum(total_amount), count(*)) AS average_order_value,
    min(day) AS first_order_date,
    max(day) AS last_order_date,
    if(sum(total_amount) > 10000, 'VIP', if(sum(total_amount) > 5000, 'High', if(sum(total_amount) > 1000, 'Medium', 'Low'))) AS segment,
    coalesce(any_value(visits), 0) AS visits,
    coalesce(any_value(page_views), 0) AS page_views,
    coalesce(any_value(conversions), 0) AS conversions,
    coalesce(any_value(conversion_value), 0) AS conversion_value,
    any_value(last_visit_date) AS last_visit_date
FROM counting_orders LEFT JOIN seen USING (customer_id)
GROUP BY customer_id
