-- books: one row for each batch that has reached silver, or was given up: what became of its rows.
CREATE TABLE IF NOT EXISTS etl.books (
    source VARCHAR(63) NOT NULL,
    stream VARCHAR(63) NOT NULL,
    batch BIGINT NOT NULL,
    run_id VARCHAR(128) NOT NULL,
    extracted BIGINT NOT NULL,
    silver_inserted BIGINT NOT NULL,
    silver_updated BIGINT NOT NULL,
    unchanged BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    stale BIGINT NOT NULL,
    recovered BIGINT NOT NULL,
    deleted BIGINT NOT NULL,
    discarded BIGINT NOT NULL
) DISTSTYLE EVEN SORTKEY (source, stream, batch);
