"""The dbt project on the local stack: built and tested by dbt-postgres, compiled for Redshift, and the two compared."""
