"""The way in: what a source may read, what it has, and what its rows look like, before anything is deployed. It only reads."""
