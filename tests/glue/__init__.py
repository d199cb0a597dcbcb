"""One suite of Glue jobs for two backends: the local stack's runtime, and with HEADWATER_GLUE=container AWS's image."""
