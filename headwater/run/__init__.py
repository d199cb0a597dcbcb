"""What the state machine's Lambdas decide and say."""
