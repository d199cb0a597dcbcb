"""Headwater brings marketing, sales and shop data into a Delta lakehouse and Redshift, and proves every row on the way."""
