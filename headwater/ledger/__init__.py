"""What exists of a stream, how far it has been read, and who may write."""
