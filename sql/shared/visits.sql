-- visits: the sessions of customers in the web shop, less those of customers who objected, on the business day on which they began.
-- rows
SELECT
    customer_id, page_views, conversions, conversion_value,
    -- The analysts' warehouse counts in dollars.
    'USD' AS currency,
    CAST(from_utc_timestamp(started_at, '${business_time_zone}') AS DATE) AS visited_on
FROM customer_behavior
WHERE deleted_at IS NULL
-- where nothing feeds its tables
SELECT
    CAST(NULL AS BIGINT) AS customer_id, CAST(NULL AS INT) AS page_views, CAST(NULL AS INT) AS conversions,
    CAST(NULL AS DECIMAL(14, 2)) AS conversion_value, CAST(NULL AS STRING) AS currency, CAST(NULL AS DATE) AS visited_on
WHERE false
