"""Files that are dropped in the landing bucket."""
