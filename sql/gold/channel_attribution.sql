-- channel_attribution: which channels brought the orders of each day, by what their buyers did in the web shop, the apps and the CRM before: the first touch, the last, and all alike.
-- Grain: date, channel
-- Owner: Marketing
-- Distribution: AUTO
-- Sort key: date
-- date DATE: business day of the sold orders
-- channel VARCHAR(64): such as direct, email, organic_search, paid_search, paid_social, referral; unknown for orders whose buyer had no touch within the window of attribution_days
-- orders_touched BIGINT: sold orders whose buyer the channel touched within the window; of all channels together there are more than orders
-- orders_first BIGINT: sold orders by the first touch within the window; each order is counted once
-- orders_last BIGINT: sold orders by the last touch before the order; each order is counted once
-- orders_linear DECIMAL(18, 6): sold orders, each divided among all touches alike, and nothing is lost or added by rounding
-- revenue_first DECIMAL(18, 2) [reporting currency]: revenue of those orders by the first touch
-- revenue_last DECIMAL(18, 2) [reporting currency]: revenue of those orders by the last touch
-- revenue_linear DECIMAL(18, 2) [reporting currency]: revenue of those orders divided among all touches, to the cent
-- affected
SELECT sold_on AS date FROM touched_orders
UNION ALL
SELECT sold_on AS date FROM touched_purchases
UNION ALL
-- Whose record is another's now: what either has bought, and what somebody has bought of whom nobody knows any more.
SELECT purchases.sold_on AS date
FROM changed_persons AS moved
INNER JOIN purchases ON purchases.who = moved.person_id
UNION ALL
SELECT purchases.sold_on AS date
FROM changed_persons AS moved
INNER JOIN purchases ON purchases.who = moved.record
-- rows
WITH followed AS (
    SELECT
        purchases.sold_on AS date, purchases.order_id, purchases.revenue,
        coalesce(touches.channel, 'unknown') AS channel,
        row_number() OVER (PARTITION BY purchases.order_id ORDER BY touches.touched_at, touches.channel) AS place,
        count(*) OVER (PARTITION BY purchases.order_id) AS places
    FROM purchases
    LEFT JOIN touches
        ON touches.who = purchases.who
        AND touches.touched_at BETWEEN purchases.ordered_at - make_dt_interval(CAST('${attribution_days}' AS INT)) AND purchases.ordered_at
    WHERE purchases.sold_on IN (SELECT date FROM affected)
),

shared AS (
    SELECT
        followed.*,
        -- Of what has been divided so far, less what had been before: so the parts of an order come to it, to the last digit.
        CAST(place / places AS DECIMAL(18, 6)) - CAST((place - 1) / places AS DECIMAL(18, 6)) AS part,
        CAST(revenue * place / places AS DECIMAL(18, 2)) - CAST(revenue * (place - 1) / places AS DECIMAL(18, 2)) AS revenue_part
    FROM followed
)

SELECT
    date, channel,
    count(DISTINCT order_id) AS orders_touched,
    count(CASE WHEN place = 1 THEN order_id END) AS orders_first,
    count(CASE WHEN place = places THEN order_id END) AS orders_last,
    CAST(sum(part) AS DECIMAL(18, 6)) AS orders_linear,
    CAST(coalesce(sum(CASE WHEN place = 1 THEN revenue END), 0) AS DECIMAL(18, 2)) AS revenue_first,
    CAST(coalesce(sum(CASE WHEN place = places THEN revenue END), 0) AS DECIMAL(18, 2)) AS revenue_last,
    CAST(coalesce(sum(revenue_part), 0) AS DECIMAL(18, 2)) AS revenue_linear
FROM shared
GROUP BY date, channel
