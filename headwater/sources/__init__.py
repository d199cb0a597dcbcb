"""How each kind of source is read: `kinds.py` is the table of them."""
