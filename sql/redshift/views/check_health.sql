-- check_health: how often each check of each stream has failed on each day of the runs that asked it, and of how many rows.
CREATE OR REPLACE VIEW analytics.check_health AS
SELECT
    CAST(runs.started_at AS DATE) AS day,
    results.source,
    results.stream,
    results.check_id,
    results.level,
    COUNT(*) AS batches,
    SUM(CASE WHEN results.passed THEN 0 ELSE 1 END) AS failed_batches,
    SUM(results.failed_rows) AS failed_rows
FROM etl.quality_results AS results
INNER JOIN etl.runs AS runs ON runs.run_id = results.run_id
GROUP BY CAST(runs.started_at AS DATE), results.source, results.stream, results.check_id, results.level;
