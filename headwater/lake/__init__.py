"""The Delta tables of the lake."""
