"""The local stack: everything that stands in for AWS and for the sources on a laptop."""
