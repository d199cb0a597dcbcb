"""The operator's desk: what the command line prints, which values it takes, and how it refuses. No job or Lambda has it."""
