-- person_analytics: what each person is to the company in all of its sources: buyer of the shop, firm that buys wholesale, visitor, user of the apps, contact of the CRM.
-- Grain: person_id
-- Owner: Customer data
-- Distribution: KEY (person_id)
-- Sort key: person_id
-- person_id VARCHAR(64): who it is, as customer_identities links the sources' records
-- customer_id BIGINT: the shop's customer that the person is; NULL for somebody who is none
-- sources VARCHAR(256): where the person is known, in the order of the alphabet, such as clevertap, shop
-- records BIGINT: records that are the person's
-- orders BIGINT: sold orders in the shop
-- shop_revenue DECIMAL(18, 2) [reporting currency]: revenue of those orders, reporting currency
-- wholesale_orders BIGINT: orders as a firm that have not been deleted
-- wholesale_value DECIMAL(18, 2) [reporting currency]: amounts of those orders by the rate of their day, reporting currency; what has no rate is left out
-- lifetime_value DECIMAL(18, 2) [reporting currency]: shop_revenue and wholesale_value together
-- first_order_date DATE: business day of the first of those orders, of whichever kind
-- last_order_date DATE: business day of the last of those orders
-- visits BIGINT: sessions in the web shop
-- page_views BIGINT: pages seen in them
-- conversion_value DECIMAL(18, 2) [reporting currency]: what sessions brought as the web analysts count it, reporting currency; it is revenue once more, and not to be added to it
-- app_launches BIGINT: times the person opened the apps
-- affected
WITH touched AS (
    SELECT 'shop:' || customer_id AS record FROM touched_orders
    UNION ALL
    SELECT 'shop:' || customer_id AS record FROM touched_visitors
    UNION ALL
    SELECT 'snowflake:' || customer_id AS record FROM touched_firms
    UNION ALL
    SELECT record FROM changed_app_users
)

SELECT person_id FROM changed_persons
UNION ALL
SELECT persons.person_id
FROM touched
INNER JOIN persons ON persons.record = touched.record
-- rows
WITH records AS (
    SELECT * FROM persons WHERE person_id IN (SELECT person_id FROM affected)
),

people AS (
    SELECT
        person_id,
        CAST(max(CASE WHEN source = 'shop' THEN record_id END) AS BIGINT) AS customer_id,
        array_join(array_sort(collect_set(source)), ', ') AS sources,
        count(*) AS records
    FROM records
    GROUP BY person_id
),

bought AS (
    SELECT records.person_id, sales.sold_on, true AS is_sale, NULL AS is_wholesale, sales.revenue, NULL AS value
    FROM records
    INNER JOIN sales ON records.record = 'shop:' || sales.customer_id
    UNION ALL
    SELECT
        records.person_id, sold.sold_on,
        NULL AS is_sale,
        true AS is_wholesale,
        NULL AS revenue,
        CAST(sold.amount * CASE WHEN sold.currency = '${reporting_currency}' THEN 1 ELSE rates.rate END AS DECIMAL(18, 2)) AS value
    FROM records
    INNER JOIN wholesale_orders AS sold ON records.record = 'snowflake:' || sold.customer_id
    LEFT JOIN rates ON rates.date = sold.sold_on AND rates.currency = sold.currency
),

buyers AS (
    SELECT
        person_id,
        count(is_sale) AS orders,
        coalesce(sum(revenue), 0) AS shop_revenue,
        count(is_wholesale) AS wholesale_orders,
        coalesce(sum(value), 0) AS wholesale_value,
        min(sold_on) AS first_order_date,
        max(sold_on) AS last_order_date
    FROM bought
    GROUP BY person_id
),

visitors AS (
    SELECT
        records.person_id,
        count(*) AS visits,
        sum(visits.page_views) AS page_views,
        sum(visits.conversion_value) AS conversion_value
    FROM records
    INNER JOIN valued_visits AS visits ON records.record = 'shop:' || visits.customer_id
    GROUP BY records.person_id
),

users AS (
    SELECT records.person_id, sum(app_users.launches) AS app_launches
    FROM records
    INNER JOIN app_users ON records.record = app_users.record
    GROUP BY records.person_id
)

SELECT
    people.person_id, people.customer_id, people.sources, people.records,
    coalesce(buyers.orders, 0) AS orders,
    CAST(coalesce(buyers.shop_revenue, 0) AS DECIMAL(18, 2)) AS shop_revenue,
    coalesce(buyers.wholesale_orders, 0) AS wholesale_orders,
    CAST(coalesce(buyers.wholesale_value, 0) AS DECIMAL(18, 2)) AS wholesale_value,
    CAST(coalesce(buyers.shop_revenue + buyers.wholesale_value, 0) AS DECIMAL(18, 2)) AS lifetime_value,
    buyers.first_order_date, buyers.last_order_date,
    coalesce(visitors.visits, 0) AS visits,
    coalesce(visitors.page_views, 0) AS page_views,
    CAST(coalesce(visitors.conversion_value, 0) AS DECIMAL(18, 2)) AS conversion_value,
    coalesce(users.app_launches, 0) AS app_launches
FROM people
LEFT JOIN buyers ON buyers.person_id = people.person_id
LEFT JOIN visitors ON visitors.person_id = people.person_id
LEFT JOIN users ON users.person_id = people.person_id
