"""Checks on batches and rows, by Deequ and column expressions."""
