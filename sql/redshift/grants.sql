-- Who may do what in the warehouse: a role has exactly this, since it first loses all that it has. Who is in which role, the deployment knows.
REVOKE ALL ON ALL TABLES IN SCHEMA analytics FROM ROLE ${prefix}_loader;
REVOKE ALL ON ALL TABLES IN SCHEMA etl FROM ROLE ${prefix}_loader;
REVOKE ALL ON ALL TABLES IN SCHEMA etl FROM ROLE ${prefix}_planner;
REVOKE ALL ON ALL TABLES IN SCHEMA analytics FROM ROLE ${prefix}_analyst;
-- The state machine: Load and Audit.
GRANT USAGE ON SCHEMA analytics, etl TO ROLE ${prefix}_loader;
GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA analytics TO ROLE ${prefix}_loader;
GRANT SELECT, INSERT ON etl.load_ledger, etl.run_audit TO ROLE ${prefix}_loader;
GRANT SELECT, INSERT, DELETE ON etl.quality_results TO ROLE ${prefix}_loader;
GRANT TEMP ON DATABASE ${database} TO ROLE ${prefix}_loader;
-- prepare_load: asks what the warehouse lacks.
GRANT USAGE ON SCHEMA etl TO ROLE ${prefix}_planner;
GRANT SELECT ON etl.load_ledger TO ROLE ${prefix}_planner;
-- analysts.roles of the environment.
GRANT USAGE ON SCHEMA analytics TO ROLE ${prefix}_analyst;
GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO ROLE ${prefix}_analyst;
