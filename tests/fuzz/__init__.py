"""Every reader of what comes from outside, under inputs that nobody would write: `make fuzz`."""
