-- load_turn: one row, which each load updates first, in its own transaction: of two loads at once Redshift refuses the later.
CREATE TABLE IF NOT EXISTS etl.load_turn (
    run_id VARCHAR(128) NOT NULL,
    taken_at TIMESTAMP NOT NULL
) DISTSTYLE ALL;

INSERT INTO etl.load_turn (run_id, taken_at) VALUES ('', GETDATE());
