-- runs: what was run_audit, one row for each run; run_audit has one for each stage of a stream or table now.
ALTER TABLE etl.run_audit RENAME TO runs;
ALTER TABLE etl.runs ADD COLUMN message VARCHAR(4096);

-- run_audit: one row for what a job run of a stage did for a stream, or for a table of gold or of the warehouse.
CREATE TABLE etl.run_audit (
    run_id VARCHAR(128) NOT NULL,
    stage VARCHAR(16) NOT NULL,
    job_run_id VARCHAR(256) NOT NULL,
    source VARCHAR(63),
    stream VARCHAR(63),
    table_name VARCHAR(256),
    status VARCHAR(16) NOT NULL,
    started_at TIMESTAMP NOT NULL,
    ended_at TIMESTAMP NOT NULL,
    seconds DECIMAL(18, 3) NOT NULL,
    rows_read BIGINT NOT NULL,
    rows_inserted BIGINT NOT NULL,
    rows_changed BIGINT NOT NULL,
    rows_deleted BIGINT NOT NULL,
    rows_rejected BIGINT NOT NULL,
    rejected VARCHAR(16384),
    messages VARCHAR(65535)
) DISTSTYLE EVEN COMPOUND SORTKEY (started_at, run_id);

ALTER TABLE etl.quality_results ADD COLUMN message VARCHAR(4096);
ALTER TABLE etl.quality_results ADD COLUMN failed_rows BIGINT;
ALTER TABLE etl.quality_results ADD COLUMN batch_rows BIGINT;

COMMENT ON TABLE etl.load_ledger IS 'One row for each load that was committed, written in its own transaction.';
COMMENT ON TABLE etl.load_turn IS 'One row, which each load updates first: of two loads at once Redshift refuses the later.';
COMMENT ON TABLE etl.books IS 'One row for each batch that has reached silver, or was given up: what became of its rows.';
COMMENT ON TABLE etl.runs IS 'One row for each run that has ended, with the rows of the batches that it closed.';
COMMENT ON COLUMN etl.runs.status IS 'succeeded, failed_in_part, failed, or aborted where it ended without a word.';
COMMENT ON COLUMN etl.runs.message IS 'What failed it, if it failed before its audit.';
COMMENT ON TABLE etl.run_audit IS 'One row for what a job run of a stage did for a stream, or for a table of gold or of the warehouse.';
COMMENT ON COLUMN etl.run_audit.stage IS 'Extract, Check, Silver, Gold or Load, and Lineage for the events that were made, taken and lost.';
COMMENT ON COLUMN etl.run_audit.job_run_id IS 'The Glue job run, and of Load the statement of the Data API.';
COMMENT ON COLUMN etl.run_audit.table_name IS 'What was written: bronze.source.stream, silver.table, gold.table or analytics.table.';
COMMENT ON COLUMN etl.run_audit.rows_read IS 'Extract: from the source. Check, Silver: of batches. Gold: computed. Load: copied.';
COMMENT ON COLUMN etl.run_audit.rows_deleted IS 'Of Load also those that were replaced, which are inserted again.';
COMMENT ON COLUMN etl.run_audit.rows_rejected IS 'Rows that went to quarantine.';
COMMENT ON COLUMN etl.run_audit.rejected IS 'Those rows by reason, as JSON, of which a row may have several.';
COMMENT ON COLUMN etl.run_audit.messages IS 'What is to be told, and why it failed, a line for each.';
COMMENT ON TABLE etl.quality_results IS 'One row for each check of each batch.';
COMMENT ON COLUMN etl.quality_results.value IS 'What was measured, where a check measures.';
COMMENT ON COLUMN etl.quality_results.message IS 'What the check says, which is mostly nothing of one that has passed.';
COMMENT ON COLUMN etl.quality_results.failed_rows IS 'Rows that fail it, where it looks at rows.';
COMMENT ON COLUMN etl.quality_results.batch_rows IS 'Rows of the batch.';
