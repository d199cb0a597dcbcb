"""Athena, on DuckDB over the Glue catalog."""
