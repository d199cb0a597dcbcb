"""The stages of a run, one file each: what a Glue job does."""
