"""Options that many commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.desk.choices import complete_environment

EnvOption = Annotated[
    str, typer.Option("--env", help="local, dev, staging or prod.", autocompletion=complete_environment)
]
# Typer shows a flag's type, `<bool>`, as if it took a value, unless there is another name for it.
JsonOption = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON.")]
