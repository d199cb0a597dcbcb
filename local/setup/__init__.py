"""Setting up: what `make setup` does, in steps that each say what they do and resume where an earlier one ended."""
