-- persons: who each record of a person is of now; a record is named by its source and its key, such as shop:5.
-- rows
SELECT source, record_id, source || ':' || record_id AS record, person_id FROM customer_identities WHERE is_current
-- where nothing feeds its tables
SELECT
    CAST(NULL AS STRING) AS source, CAST(NULL AS STRING) AS record_id, CAST(NULL AS STRING) AS record, CAST(NULL AS STRING) AS person_id
WHERE false
