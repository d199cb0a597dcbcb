"""What others ask for: the queries of gold that the query API answers."""
