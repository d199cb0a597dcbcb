"""APIs of the sources that speak HTTP, for their counterparts: the same paths, paging, limits and errors, at another base URL."""
