"""The Lambdas behind the entrances: records, pushed events, dropped files."""
