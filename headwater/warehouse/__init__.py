"""What the warehouse is loaded with."""
