"""Glue: job runs in warm Spark workers, their bookmarks, crawlers."""
