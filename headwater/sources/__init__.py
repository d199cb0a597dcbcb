"""What YAML cannot say of a source: one module for each such source, named like it, with an `API`."""
