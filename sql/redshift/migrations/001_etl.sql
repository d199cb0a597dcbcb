-- etl: what Load and Audit keep about themselves.
CREATE SCHEMA IF NOT EXISTS etl;
CREATE SCHEMA IF NOT EXISTS analytics;

-- load_ledger: one row for each load that was committed, written in the load's own transaction.
CREATE TABLE IF NOT EXISTS etl.load_ledger (
    load_id VARCHAR(256) NOT NULL,
    table_name VARCHAR(127) NOT NULL,
    version BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    run_id VARCHAR(128) NOT NULL,
    loaded_at TIMESTAMP NOT NULL
) DISTSTYLE ALL SORTKEY (table_name, version);

-- run_audit: one row for each run that reached its end.
CREATE TABLE IF NOT EXISTS etl.run_audit (
    run_id VARCHAR(128) NOT NULL,
    status VARCHAR(16) NOT NULL,
    started_at TIMESTAMP NOT NULL,
    ended_at TIMESTAMP NOT NULL,
    rows_extracted BIGINT NOT NULL,
    rows_inserted BIGINT NOT NULL,
    rows_updated BIGINT NOT NULL,
    rows_quarantined BIGINT NOT NULL
) DISTSTYLE ALL SORTKEY (started_at);

-- quality_results: one row for each check of each batch.
CREATE TABLE IF NOT EXISTS etl.quality_results (
    run_id VARCHAR(128) NOT NULL,
    source VARCHAR(63) NOT NULL,
    stream VARCHAR(63) NOT NULL,
    batch BIGINT NOT NULL,
    check_id VARCHAR(127) NOT NULL,
    level VARCHAR(16) NOT NULL,
    passed BOOLEAN NOT NULL,
    value DOUBLE PRECISION
) DISTSTYLE EVEN SORTKEY (run_id);
