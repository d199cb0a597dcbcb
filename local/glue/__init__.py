"""The Spark side of the local Glue runtime: the session as Glue sets it up, and the worker process that runs jobs."""
