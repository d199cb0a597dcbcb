"""Users, roles and grants of Redshift in PostgreSQL's words: a user is a role that logs in, a role is one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

from local.gateway.redshift.lexemes import Lexeme, RedshiftError, identifier, lex

_NO_MEANING_HERE = {"DATASHARE", "LANGUAGE", "MODEL", "CONNECTION", "JOB"}
_BEFORE_A_NAME = {"GRANT", "REVOKE", "TO", "FROM", ","}


def access_statement(text: str) -> tuple[str, ...] | None:
    """Turns a statement about users, roles, groups or privileges into PostgreSQL's; None when it is about something else."""
    words = lex(text)
    match [word.upper for word in words]:
        case ["GRANT" | "REVOKE" as verb, "ASSUMEROLE", "ON", *_]:
            return _assumerole(verb, words[3:])
        case ["GRANT" | "REVOKE", *rest]:
            return () if _NO_MEANING_HERE & {*rest} else (_without_role(text, words),)
        case ["ALTER", "DEFAULT", "PRIVILEGES", *_]:
            return (_without_role(text, words),)
        case ["CREATE", "USER", *rest]:
            return (_create_user(words[2], rest[1:]),)
        case ["CREATE", "ROLE", *_]:
            return (f"CREATE ROLE {words[2].text} NOLOGIN",)
        case ["ALTER", "USER", *_]:
            # Only that there is such a user matters here.
            return (f"ALTER ROLE {words[2].text} LOGIN",)
        case ["ALTER", "ROLE", *_]:
            return (f"ALTER ROLE {words[2].text} NOLOGIN",)
        case ["DROP", "ROLE", _, "FORCE"]:
            return (f"DROP OWNED BY {words[2].text}", f"DROP ROLE {words[2].text}")
        case ["DROP", "ROLE", _, "RESTRICT"]:
            return (f"DROP ROLE {words[2].text}",)
        case ["DROP", "USER" | "ROLE" | "GROUP", *_] | ["CREATE" | "ALTER", "GROUP", *_]:
            return (text,)
    return None


def _assumerole(verb: str, words: Sequence[Lexeme]) -> tuple[str, ...]:
    """Turns GRANT or REVOKE ASSUMEROLE ON roles TO or FROM grantees FOR commands into rows of what the warehouse keeps of it."""
    upper = [word.upper for word in words]
    if not {"TO", "FROM"} & {*upper} or "FOR" not in upper:
        raise RedshiftError(f'syntax error at or near "{words[-1].text}": {verb} ASSUMEROLE ON … FOR …')
    between, commands = upper.index("TO" if verb == "GRANT" else "FROM"), upper.index("FOR")
    roles = [word.text if word.kind == "string" else f"'{word.upper}'" for word in words[:between] if word.text != ","]
    grantees = [
        word.upper if word.upper == "PUBLIC" else identifier(word)
        for word in words[between + 1 : commands]
        if word.text != "," and word.upper not in {"ROLE", "GROUP"}
    ]
    statements = []
    for role, grantee, command in product(roles, grantees, [word for word in upper[commands + 1 :] if word != ","]):
        who = grantee.replace("'", "''")
        same = f"grantee = '{who}' AND '{command}' IN (command, 'ALL') AND {role} IN (iam_role, 'ALL')"
        statements.append(f"DELETE FROM redshift.assumerole WHERE {same}")
        if verb == "GRANT":
            statements.append(f"INSERT INTO redshift.assumerole VALUES ({role}, '{who}', '{command}')")
    return tuple(statements)


def _create_user(name: Lexeme, options: Sequence[str]) -> str:
    if "PASSWORD" not in options:
        raise RedshiftError(f'syntax error at or near "{name.text}": CREATE USER needs PASSWORD, or PASSWORD DISABLE')
    superuser = " SUPERUSER" if "CREATEUSER" in options else ""
    return f"CREATE ROLE {name.text} LOGIN{superuser}"


def _without_role(text: str, words: Sequence[Lexeme]) -> str:
    """Cuts the word ROLE before each name of one."""
    cuts = [after for before, after in pairwise(words) if after.upper == "ROLE" and before.upper in _BEFORE_A_NAME]
    for cut in reversed(cuts):
        text = text[: cut.start] + text[cut.end :]
    return text
