"""The opened project, and what the state machine's Lambdas decide and say."""
