"""A pipeline in memory: the real ledger, stages, change log and loads, between a source and tables that are Python lists."""
