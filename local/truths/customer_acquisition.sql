-- By day and platform: whose first order was of one of its campaigns, what they paid, and what its ads cost; and those of no campaign.
WITH of_platform AS (SELECT campaign_id, min(platform) AS platform FROM ads GROUP BY ALL),
came AS (
    SELECT day AS date, coalesce(platform, 'unpaid') AS channel, count(*) AS new_customers, sum(total_amount) AS first_revenue
    FROM (SELECT * FROM counting_orders QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY ordered_at, order_id) = 1) AS firsts
    LEFT JOIN of_platform ON of_platform.campaign_id = CAST(firsts.campaign_id AS VARCHAR)
    GROUP BY ALL
),
spent AS (
    SELECT ads.day AS date, ads.platform AS channel, round(sum(ads.cost * worth.rate), 2) AS cost, bool_and(worth.rate IS NOT NULL) AS whole
    FROM ads LEFT JOIN worth ON worth.day = ads.day AND worth.currency = ads.currency
    GROUP BY ALL
)
SELECT
    date,
    channel,
    coalesce(new_customers, 0) AS new_customers,
    coalesce(first_revenue, 0) AS first_revenue,
    CASE WHEN whole IS NULL THEN 0 WHEN whole THEN cost END AS cost,
    CASE WHEN new_customers > 0 THEN per(CASE WHEN whole IS NULL THEN 0 WHEN whole THEN cost END, new_customers) END AS cost_per_new_customer
FROM came FULL JOIN spent USING (date, channel)
