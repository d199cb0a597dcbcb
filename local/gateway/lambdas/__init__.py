"""Lambda, and what calls its functions."""
