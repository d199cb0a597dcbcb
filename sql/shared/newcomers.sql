-- newcomers: customers with the first order of theirs that counts, the one with the least number of those at the same time.
-- rows
SELECT
    customer_id,
    min_by(campaign_id, struct(ordered_at, order_id)) AS campaign_id,
    min_by(sold_on, struct(ordered_at, order_id)) AS sold_on,
    min_by(revenue, struct(ordered_at, order_id)) AS revenue
FROM sales
WHERE customer_id IS NOT NULL AND ordered_at IS NOT NULL
GROUP BY customer_id
