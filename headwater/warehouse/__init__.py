"""Loads of the warehouse: change files, SQL, the Data API."""
