-- run_health: how many runs of each day have succeeded or failed, how long they took, and the rows that they brought and refused.
CREATE OR REPLACE VIEW analytics.run_health AS
SELECT
    CAST(started_at AS DATE) AS day,
    COUNT(*) AS runs,
    SUM(CASE WHEN status = 'succeeded' THEN 1 ELSE 0 END) AS succeeded,
    SUM(CASE WHEN status = 'failed_in_part' THEN 1 ELSE 0 END) AS failed_in_part,
    SUM(CASE WHEN status IN ('failed', 'aborted') THEN 1 ELSE 0 END) AS failed,
    MAX(DATEDIFF(second, started_at, ended_at)) AS longest_seconds,
    SUM(rows_extracted) AS rows_extracted,
    SUM(rows_quarantined) AS rows_quarantined
FROM etl.runs
GROUP BY CAST(started_at AS DATE);
