"""The secret of a source as the caller has it, and how it is kept out of all that is printed."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from headwater.config import AnySource, Environment
from headwater.errors import ConfigError
from headwater.explore.found import SECONDS
from headwater.redaction import keep_out, redact, secrets_in, strike_out
from headwater.secrets import save_secret

_BOTO = Config(connect_timeout=SECONDS, read_timeout=SECONDS, retries={"total_max_attempts": 2})


def client(service: str) -> Any:
    """Makes a boto3 client that gives up soon."""
    return boto3.client(service, config=_BOTO)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Secret:
    """A source's secret; `save` keeps a part that the provider has rotated, without which the old one would be lost."""

    values: Mapping[str, str] = field(repr=False)
    save: Callable[[Mapping[str, str]], None] = field(repr=False)

    def strike_out(self, text: str) -> str:
        """Replaces every secret in a text by ***."""
        return redact(strike_out(text, secrets_in(self.values)))

    def struck(self, value: Any) -> Any:
        """The same value with every secret in its texts replaced."""
        match value:
            case str():
                return self.strike_out(value)
            case bytes():
                return self.strike_out(value.decode("utf-8", "backslashreplace"))
            case Mapping():
                return {self.strike_out(str(name)): self.struck(inner) for name, inner in value.items()}
            case list() | tuple():
                return [self.struck(inner) for inner in value]
            case None | bool() | int() | float():
                return value
            case _:
                return self.strike_out(str(value))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Strikes the secret out of every error that leaves the block, and of what caused it."""
        try:
            yield
        except BaseException as error:
            self._strike(error)
            raise

    def _strike(self, error: BaseException | None) -> None:
        seen: set[int] = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            error.args = tuple(self.struck(argument) for argument in error.args)
            error = error.__cause__ or error.__context__


def secret_in(path: Path) -> Secret:
    """Reads a source's secret from a file that nobody else may read."""
    return Secret(_read_file(path), lambda new: _write_file(path, new))


def stored_secret(source: AnySource, environment: Environment) -> Secret:
    """Reads a source's secret from Secrets Manager, with the caller's own credentials; an empty one where it has none."""
    if source.secret is None:
        return Secret({}, lambda _: None)
    name = f"{environment.prefix}/{source.secret}"
    manager = client("secretsmanager")
    try:
        text = manager.get_secret_value(SecretId=name)["SecretString"]
    except manager.exceptions.ResourceNotFoundException:
        raise ConfigError(
            f"{source.name}: secret {name} is not stored. hint: --secret-file FILE.json until it is, and docs/sources.md for "
            "what it holds"
        ) from None
    return Secret(_parsed(name, text), lambda new: save_secret(name, new))


def _read_file(path: Path) -> Mapping[str, str]:
    try:
        about = path.stat()
        if stat.S_IMODE(about.st_mode) & 0o077:
            raise ConfigError(f"{path}: others may read this secret. hint: chmod 600 {path}")
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the secret cannot be read ({type(error).__name__})") from None
    return _parsed(str(path), text)


def _write_file(path: Path, secret: Mapping[str, str]) -> None:
    beside = path.with_name(f"{path.name}.new")
    beside.touch(0o600)
    beside.write_text(json.dumps(dict(secret), indent=1))
    beside.replace(path)


def _parsed(where: str, text: str) -> Mapping[str, str]:
    try:
        secret = json.loads(text)
    except ValueError:
        secret = None
    # A message must not quote what it could not read.
    if not isinstance(secret, dict) or not all(isinstance(value, str | int) for value in secret.values()):
        raise ConfigError(f'{where}: the secret is no JSON object of texts, such as {{"access_token": "…"}}')
    keep_out(secrets_in(secret))
    return {name: str(value) for name, value in secret.items()}
