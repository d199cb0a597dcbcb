-- table_freshness: when each gold table was loaded last, at which version of the lake, and how often in the last 30 days.
CREATE OR REPLACE VIEW analytics.table_freshness AS
SELECT
    table_name,
    MAX(loaded_at) AS loaded_at,
    MAX(version) AS version,
    SUM(CASE WHEN loaded_at > GETDATE() - INTERVAL '30 days' THEN 1 ELSE 0 END) AS loads_30d
FROM etl.load_ledger
GROUP BY table_name;
