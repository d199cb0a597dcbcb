"""What YAML cannot say of one HTTP API."""
