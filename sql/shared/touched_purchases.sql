-- touched_purchases: the business days of orders that a touch which may have changed has a share of, as long as a touch counts.
-- rows
WITH touched AS (
    SELECT * FROM changed_visit_touches
    UNION ALL
    SELECT * FROM changed_app_touches
    UNION ALL
    SELECT * FROM changed_contact_touches
)

SELECT purchases.sold_on
FROM touched
LEFT JOIN persons ON persons.record = touched.record
INNER JOIN purchases
    ON purchases.who = coalesce(persons.person_id, touched.record)
    AND purchases.ordered_at BETWEEN touched.touched_at AND touched.touched_at + make_dt_interval(CAST('${attribution_days}' AS INT))
