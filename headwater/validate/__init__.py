"""Understanding what is declared, at the desk: `headwater validate` tells every mistake, with file, line and path."""

from headwater.validate.understanding import mistakes

__all__ = ["mistakes"]
