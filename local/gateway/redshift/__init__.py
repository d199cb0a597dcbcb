"""Redshift, on an embedded PostgreSQL: the Data API, its SQL, COPY and UNLOAD, Serverless."""
