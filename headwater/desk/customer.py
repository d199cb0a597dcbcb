"""`headwater customer`: who is whom, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.desk import choices
from headwater.desk.environments import client_of, project_of
from headwater.desk.options import EnvOption, JsonOption
from headwater.desk.screen import show
from headwater.errors import ConfigError

customer_app = typer.Typer(no_args_is_help=True, help="Who is whom.")


@customer_app.callback()
def _group() -> None:
    # Makes `explain` a command of its group, to which others may come.
    pass


@customer_app.command()
def explain(
    who: Annotated[str, typer.Argument(help="A person_id, or a record, written member:id, such as shop:5.")],
    env: EnvOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Show the records of a person: by which values they are linked, which link nobody, and what was so before."""
    project = project_of(env)
    choices.person(project, who)
    client = client_of(env)
    columns: tuple[str, ...] = ()
    rows: list[tuple[str | None, ...]] = []
    for name in project.identities:
        answer = client.query("athena", explaining(f"{project.environment.database('silver')}.{name}", who))
        columns, rows = answer.columns, [*rows, *answer.rows]
    if not rows:
        raise ConfigError(
            f"nobody is or was {who}. hint: headwater run, where the record is new; a record that is deleted stays"
        )
    show(as_json, [dict(zip(columns, row, strict=True)) for row in rows], columns)


def explaining(table: str, who: str) -> str:
    """The query of everybody that a record is or was, or of one person."""
    asked = "'" + who.replace("'", "''") + "'"
    return f"""
        SELECT person_id, source, record_id, array_join(linked_by, ', ') AS linked_by, array_join(left_out, ', ') AS left_out,
            valid_from, valid_to
        FROM {table}
        WHERE person_id IN (
            SELECT person_id FROM {table} WHERE person_id = {asked} OR concat(source, ':', record_id) = {asked}
        )
        ORDER BY person_id, valid_to IS NOT NULL, source, record_id, valid_from
        """
