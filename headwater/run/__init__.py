"""The opened project, and the decisions and messages of the state machine's Lambdas."""
