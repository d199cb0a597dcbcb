-- By customer: how many orders count, what they came to, when the first and the last one was, and the segment.
SELECT
    customer_id,
    sum(total_amount) AS lifetime_value,
    count(*) AS orders,
    round(sum(total_amount) / count(*), 2) AS average_order_value,
    min(day) AS first_order_date,
    max(day) AS last_order_date,
    if(sum(total_amount) > 10000, 'VIP', if(sum(total_amount) > 5000, 'High', if(sum(total_amount) > 1000, 'Medium', 'Low'))) AS segment
FROM counting_orders
GROUP BY customer_id
