"""Databases that are read over JDBC."""
