"""What the Kafka source is made of: offsets, the cluster, the schema registry, and how records become raw rows."""
