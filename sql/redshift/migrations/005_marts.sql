-- marts: what dbt builds of analytics; its tables and views belong to whoever builds them.
CREATE SCHEMA IF NOT EXISTS marts;
