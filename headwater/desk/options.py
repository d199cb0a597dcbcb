"""Options that many commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.desk.choices import complete_environment

EnvOption = Annotated[
    str, typer.Option("--env", help="local, dev, staging or prod.", autocompletion=complete_environment)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
