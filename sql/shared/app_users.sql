-- app_users: how often each user of the apps has opened them, by the record that the user is.
-- rows
SELECT 'clevertap:' || account_id || ':' || profile_key AS record, launches FROM app_profiles
-- where nothing feeds its tables
SELECT CAST(NULL AS STRING) AS record, CAST(NULL AS BIGINT) AS launches
WHERE false
