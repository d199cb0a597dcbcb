-- Who may do what in the warehouse: a role has exactly this, since it first loses all that it has. Who is in which role, the deployment knows.
REVOKE ALL ON ALL TABLES IN SCHEMA analytics FROM ROLE ${prefix}_loader;
REVOKE ALL ON ALL TABLES IN SCHEMA etl FROM ROLE ${prefix}_loader;
REVOKE ALL ON ALL TABLES IN SCHEMA etl FROM ROLE ${prefix}_auditor;
REVOKE ALL ON ALL TABLES IN SCHEMA analytics FROM ROLE ${prefix}_analyst;
REVOKE ALL ON ALL TABLES IN SCHEMA marts FROM ROLE ${prefix}_analyst;
REVOKE ALL ON ALL TABLES IN SCHEMA analytics FROM ROLE ${prefix}_modeller;
REVOKE ALL ON ALL TABLES IN SCHEMA etl FROM ROLE ${prefix}_modeller;
-- load_changes: asks what the warehouse lacks, and loads it.
GRANT USAGE ON SCHEMA analytics, etl TO ROLE ${prefix}_loader;
GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA analytics TO ROLE ${prefix}_loader;
GRANT SELECT, INSERT ON etl.load_ledger TO ROLE ${prefix}_loader;
GRANT SELECT, UPDATE ON etl.load_turn TO ROLE ${prefix}_loader;
GRANT TEMP ON DATABASE ${database} TO ROLE ${prefix}_loader;
GRANT ASSUMEROLE ON '${copy_role}' TO ROLE ${prefix}_loader FOR COPY;
-- audit_run: enters the run and its check results.
GRANT USAGE ON SCHEMA etl TO ROLE ${prefix}_auditor;
GRANT SELECT, INSERT, DELETE ON etl.runs TO ROLE ${prefix}_auditor;
GRANT SELECT, INSERT, DELETE ON etl.books, etl.quality_results, etl.run_audit TO ROLE ${prefix}_auditor;
GRANT ASSUMEROLE ON '${copy_role}' TO ROLE ${prefix}_auditor FOR COPY;
-- analysts.roles of the environment.
GRANT USAGE ON SCHEMA analytics, marts TO ROLE ${prefix}_analyst;
GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO ROLE ${prefix}_analyst;
GRANT SELECT ON ALL TABLES IN SCHEMA marts TO ROLE ${prefix}_analyst;
-- analysts.modeller of the environment: dbt, which owns what it builds in marts.
GRANT USAGE ON SCHEMA analytics, etl TO ROLE ${prefix}_modeller;
GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO ROLE ${prefix}_modeller;
GRANT SELECT ON etl.load_ledger, etl.runs, etl.run_audit, etl.quality_results, etl.books TO ROLE ${prefix}_modeller;
GRANT USAGE, CREATE ON SCHEMA marts TO ROLE ${prefix}_modeller;
