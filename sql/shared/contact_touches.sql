-- contact_touches: how people of the CRM first came to us, as touches of the channel that the CRM names.
-- rows
SELECT
    'hubspot:' || contact_id AS record,
    created_at AS touched_at,
    CASE source
        WHEN 'DIRECT_TRAFFIC' THEN 'direct'
        WHEN 'EMAIL_MARKETING' THEN 'email'
        WHEN 'REFERRALS' THEN 'referral'
        WHEN 'SOCIAL_MEDIA' THEN 'organic_social'
        ELSE lower(source)
    END AS channel
FROM crm_contacts
WHERE is_current AND source IS NOT NULL
-- where nothing feeds its tables
SELECT CAST(NULL AS STRING) AS record, CAST(NULL AS TIMESTAMP) AS touched_at, CAST(NULL AS STRING) AS channel
WHERE false
