"""Two commands on a machine that has Python 3.11, make and git, and nothing else: `make test-bare` makes one and tries."""
