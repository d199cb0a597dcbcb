"""Job arguments."""

from __future__ import annotations

from collections.abc import Sequence

RESERVED = (
    "JOB_NAME",
    "JOB_ID",
    "JOB_RUN_ID",
    "SECURITY_CONFIGURATION",
    "TempDir",
    "job-bookmark-option",
    "job-bookmark-from",
    "job-bookmark-to",
)
"""Arguments that Glue itself reads; they are in the answer whenever they were given."""


class GlueArgumentError(Exception):
    """A job was started without an argument that it needs."""


def getResolvedOptions(args: Sequence[str], options: Sequence[str]) -> dict[str, str]:  # noqa: N802 - Glue's name
    """Picks the named arguments out of a command line: `--name value` or `--name=value`, the last one wins.

    Arguments that nobody asked for are ignored. Hyphens in names become underscores in the answer.

    Raises:
        GlueArgumentError: a named argument is missing or has no value.
    """
    given = _given(args)
    missing = [f"--{name}" for name in options if name not in given]
    if missing:
        raise GlueArgumentError(f"the following arguments are required: {', '.join(missing)}")
    return {name.replace("-", "_"): given[name] for name in (*RESERVED, *options) if name in given}


def _given(args: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    words = iter(args)
    for word in words:
        if not word.startswith("--"):
            continue
        name, equals, value = word[2:].partition("=")
        if equals:
            given[name] = value
            continue
        following = next(words, None)
        if following is None:
            break
        given[name] = following
    return given
