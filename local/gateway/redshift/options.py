"""What COPY and UNLOAD have in common as statements: names, S3 paths, options."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from local.gateway.redshift.lexemes import Lexeme, RedshiftError, identifier

_CREDENTIALS = {"IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"}


_WITH_A_VALUE = _CREDENTIALS | {
    "REGION", "DELIMITER", "QUOTE", "NULL", "IGNOREHEADER", "STATUPDATE", "COMPUPDATE", "TIMEFORMAT", "DATEFORMAT",
    "MAXFILESIZE", "ROWGROUPSIZE", "PARALLEL", "MAXERROR", "EXTENSION", "ENCODING",
}  # fmt: skip


_WITHOUT_MEANING = _CREDENTIALS | {
    "REGION", "STATUPDATE", "COMPUPDATE", "FORMAT", "ACCEPTINVCHARS", "ENCRYPTED", "AUTO", "ROWGROUPSIZE",
}  # fmt: skip


@dataclass
class Options:
    """What follows the source or the target of a COPY or an UNLOAD."""

    format: str = ""
    values: dict[str, str] = field(default_factory=dict)
    partition_by: list[str] = field(default_factory=list)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def refuse_others_than(self, known: set[str], command: str) -> None:
        """Raises RedshiftError that names the options which the local warehouse does not have."""
        if unknown := sorted(set(self.values) - known - _WITHOUT_MEANING):
            raise RedshiftError(f"{command} with {self.format} does not support {', '.join(unknown)}")


def parse_options(words: list[Lexeme]) -> Options:
    """Reads the options after the source of a COPY or the target of an UNLOAD."""
    options = Options()
    at = 0
    while at < len(words):
        name = words[at].upper
        at += 1
        if name in {"AS", "FORMAT"}:
            continue
        following = words[at] if at < len(words) else None
        if following is not None and following.upper == "AS" and name in _WITH_A_VALUE:
            at += 1
            following = words[at]
        if name in {"PARQUET", "CSV", "JSON", "ORC", "AVRO"}:
            options.format = name
            if name == "JSON" and following is not None and following.kind == "string":
                if string_of(following) not in {"auto", "auto ignorecase"}:
                    raise RedshiftError(f"COPY JSON '{string_of(following)}': the local warehouse knows 'auto'")
                at += 1
        elif name == "PARTITION":
            closing_at = next(index for index in range(at, len(words)) if words[index].text == ")")
            options.partition_by = [identifier(word) for word in words[at + 2 : closing_at] if word.kind != "sign"]
            options.values[name] = ""
            at = closing_at + 1
        elif name in _WITH_A_VALUE and following is not None:
            options.values[name] = string_of(following) if following.kind == "string" else following.text
            at += 1
            if name == "MAXFILESIZE" and at < len(words) and words[at].upper in {"MB", "GB"}:
                options.values["MAXFILESIZE"] += words[at].upper
                at += 1
        else:
            options.values[name] = ""
    return options


def string_of(lexeme: Lexeme) -> str:
    """The text of a quoted string."""
    return lexeme.text[1:-1].replace("''", "'")


def qualified_name(words: list[Lexeme], at: int) -> tuple[list[str], int]:
    """Reads a name and its schema from a place on; returns its parts, and the place after it."""
    parts = [identifier(words[at])]
    at += 1
    while words[at].text == ".":
        parts.append(identifier(words[at + 1]))
        at += 2
    return parts, at


def need_authorization(options: Options, command: str) -> None:
    """Raises RedshiftError where nothing says by whose right S3 is read or written."""
    if not {"IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID"} & set(options.values):
        raise RedshiftError(f"{command}: CREDENTIALS argument is not supplied. hint: IAM_ROLE 'arn:…'")


def bucket_and_key(url: str) -> tuple[str, str]:
    """Takes an S3 URL apart; RedshiftError when it is none."""
    match = re.fullmatch(r"s3://([^/]+)/?(.*)", url)
    if match is None:
        raise RedshiftError(f"The S3 path {url!r} is not s3://bucket/key")
    return match.group(1), match.group(2)
