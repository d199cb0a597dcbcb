-- touches: when which channel touched whom, in the web shop, the apps and the CRM, by the record where nobody knows the person.
-- rows
WITH touched AS (
    SELECT * FROM visit_touches
    UNION ALL
    SELECT * FROM app_touches
    UNION ALL
    SELECT * FROM contact_touches
)

SELECT coalesce(persons.person_id, touched.record) AS who, touched.touched_at, touched.channel
FROM touched
LEFT JOIN persons ON persons.record = touched.record
