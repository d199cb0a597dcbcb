"""Whether who runs a statement may have it assume a role of IAM."""

from __future__ import annotations

from local.gateway.redshift.lexemes import RedshiftError
from local.gateway.redshift.table import Session

_GRANTED = """
SELECT EXISTS (
    SELECT 1 FROM redshift.assumerole WHERE iam_role IN ('ALL', %(role)s) AND command IN ('ALL', %(command)s) AND (
        grantee = 'PUBLIC' OR EXISTS (
            SELECT 1 FROM pg_roles WHERE lower(rolname) = grantee AND pg_has_role(current_user, oid, 'MEMBER'))))
    OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
"""


def refuse_others(session: Session, role: str, command: str) -> None:
    """Raises RedshiftError unless who runs a command was granted the role for it, as was everybody before that was revoked."""
    if session.execute(_GRANTED, {"role": role, "command": command}).fetchone() != (True,):
        raise RedshiftError(f"permission denied: the current user may not assume IAM role {role} for {command}")
