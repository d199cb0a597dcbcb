"""Understanding what is declared, at the desk: SQL parses, and names what exists; `headwater validate` tells what does not."""
