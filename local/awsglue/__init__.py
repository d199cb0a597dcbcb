"""The part of Glue's `awsglue` package that the jobs use, with job bookmarks that work, for the local Glue runtime.

Written from Glue's documented behaviour. A job imports it by its usual name, `awsglue`.
"""
