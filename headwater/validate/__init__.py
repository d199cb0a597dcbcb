"""Understanding what is declared, at the desk: `headwater validate` tells every mistake, with file and line."""
