"""Errors in Redshift's words."""

from __future__ import annotations

import psycopg

from local.gateway.redshift.lexemes import RedshiftError, too_long


def said(error: Exception) -> str:
    """What Redshift would say of an error of PostgreSQL."""
    match error:
        case RedshiftError():
            return str(error)
        case psycopg.errors.InternalError_() if "concurrently" in str(error):
            return "ERROR: could not complete because of conflict with concurrent transaction"
        case psycopg.errors.UniqueViolation() if (error.diag.constraint_name or "").startswith("pg_"):
            # Two have made the same schema, table or user at once.
            return "ERROR: could not complete because of conflict with concurrent transaction"
        case psycopg.errors.SerializationFailure():
            return "ERROR: 1023 Detail: Serializable isolation violation on table"
        case psycopg.errors.CardinalityViolation() if "MERGE" in str(error):
            return "ERROR: Found multiple matches to update the same tuple."
        case psycopg.errors.QueryCanceled():
            return "ERROR: Query cancelled on user's request"
        case psycopg.errors.CheckViolation() if found := too_long(error.diag.constraint_name):
            return f"ERROR: Value too long for character type: value too long for type character varying({found[0]})"
        case psycopg.errors.StringDataRightTruncation():
            return f"ERROR: Value too long for character type: {error.diag.message_primary}"
        case psycopg.Error() if error.diag.message_primary:
            details = [error.diag.message_primary, error.diag.message_detail, error.diag.message_hint]
            return f"ERROR: {' '.join(detail for detail in details if detail)}"
    return f"ERROR: {error}"
