"""Stand-ins for the sources that speak HTTP: the same paths, paging, limits and errors, at another base URL."""
