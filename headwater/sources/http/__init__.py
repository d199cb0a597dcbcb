"""Sources that speak HTTP and JSON."""
