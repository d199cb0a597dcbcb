"""Setting up: what `make setup` does, in steps that each tell what they do and go on from where an earlier one ended."""
