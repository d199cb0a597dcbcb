-- customer_acquisition: how many customers each channel has brought on each day, and what one of them has cost in advertising.
-- Grain: date, channel
-- Owner: Marketing
-- Distribution: AUTO
-- Sort key: date
-- date DATE: business day of the customers' first sold order; of the cost, the day in the ad account's time zone
-- channel VARCHAR(32): platform of the campaign that the first sold order is attributed to, facebook or google; unpaid where it is none of theirs
-- new_customers BIGINT: customers whose first sold order is of the day
-- first_revenue DECIMAL(18, 2) [reporting currency]: revenue of those first orders, reporting currency
-- cost DECIMAL(18, 2) [reporting currency]: all that the platform's ads cost on the day, reporting currency; 0 where it had none, NULL where a part of it has no rate
-- cost_per_new_customer DECIMAL(18, 2) [reporting currency]: cost per new customer, reporting currency; NULL on a day without any
-- affected
SELECT sold_on AS date FROM touched_buyers
UNION ALL
SELECT sold.sold_on AS date
FROM changed_campaigns AS campaigns
INNER JOIN sold_orders AS sold ON CAST(sold.campaign_id AS STRING) = campaigns.campaign_id
UNION ALL
SELECT date FROM changed_ad_spend
UNION ALL
SELECT date FROM changed_rates
-- rows
WITH platforms AS (
    -- One row, should two platforms have the same id.
    SELECT campaign_id, min(platform) AS platform FROM campaigns GROUP BY campaign_id
),

brought AS (
    SELECT
        newcomers.sold_on AS date,
        coalesce(platforms.platform, 'unpaid') AS channel,
        count(*) AS new_customers,
        CAST(sum(newcomers.revenue) AS DECIMAL(18, 2)) AS first_revenue
    FROM newcomers
    LEFT JOIN platforms ON platforms.campaign_id = CAST(newcomers.campaign_id AS STRING)
    WHERE newcomers.sold_on IN (SELECT date FROM affected)
    GROUP BY 1, 2
),

spent AS (
    SELECT date, platform AS channel, cost FROM ad_cost WHERE date IN (SELECT date FROM affected)
),

days AS (
    SELECT
        coalesce(brought.date, spent.date) AS date,
        coalesce(brought.channel, spent.channel) AS channel,
        coalesce(brought.new_customers, 0) AS new_customers,
        CASE WHEN brought.date IS NULL THEN 0 ELSE brought.first_revenue END AS first_revenue,
        CASE WHEN spent.date IS NULL THEN 0 ELSE spent.cost END AS cost
    FROM brought
    FULL JOIN spent ON spent.date = brought.date AND spent.channel = brought.channel
)

SELECT
    date, channel, new_customers,
    CAST(first_revenue AS DECIMAL(18, 2)) AS first_revenue,
    CAST(cost AS DECIMAL(18, 2)) AS cost,
    CAST(cost / nullif(new_customers, 0) AS DECIMAL(18, 2)) AS cost_per_new_customer
FROM days
