"""What no text may say: a secret, found by its value in whatever form it was written, or by what it is named."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from html.entities import codepoint2name

_STRUCK = "***"
_SHORTEST_SECRET = 4
# Of fewer, so little of the Base64 is certain that it stands in other words too.
_SHORTEST_IN_BASE64 = 8
_TOLD = {
    *("host", "port", "dbname", "username", "user", "account", "protocol", "engine", "certificate"),
    *("bootstrap_servers", "registry_url", "registry_username"),
}
"""What a secret holds beside secrets, without which a message would help nobody."""
_URLS = ("registry_url", "host")

# A character may be escaped by a backslash, a percent sign or an ampersand that is escaped itself, however often.
_BACKSLASH = r"(?:\\|%(?:25)*5[Cc])"
_AMPERSAND = r"(?:&|%(?:25)*26|\\+u0026)(?:amp;)*"
_NUMBER = r"(?:\#|%(?:25)*23)"
_END = r"(?:;|%(?:25)*3[Bb])"
_ESCAPED = {"\n": "n", "\r": "r", "\t": "t"}
# What any character may begin with that is not written as it is; a space is a plus sign in a URL, as is a minus in its Base64.
_ESCAPES = r"\\%&+_\-"

_NAMES = (
    r"access[_-]?token|refresh[_-]?token|session[_-]?token|security[_-]?token|token|client[_-]?secret|app[_-]?secret|api[_-]?secret"
    r"|secret[_-]?(?:access[_-]?)?key|appsecret_proof|api[_-]?key|private[_-]?key(?:_passphrase)?|passphrase|passcode|password|passwd|pwd"
    r"|authorization|x-amz-signature|x-amz-credential"
)


def _quoted(depth: int) -> str:
    """A value between double quotes, as JSON within JSON writes it at a depth: its quotes have 0, 1, 3 or 7 backslashes before them."""
    own = 2**depth - 1
    closing = rf'(?:\\{{{2 * own + 2}}})*\\{{{own}}}(?!\\)"'
    inner = rf'(?:[^"\\]|(?!{closing})\\+"|\\+(?!["\\])|(?<!\\)(?!{closing})")'
    return rf'(?<!\\)\\{{{own}}}"(?P<quoted{depth}>{inner}*(?:\\{{{2 * own + 2}}})*)(?={closing}|$)'


_VALUE = "|".join(
    (
        *(_quoted(depth) for depth in (3, 2, 1, 0)),
        r"'(?P<single>(?:[^'\\]|\\.)*)",
        r"(?P<bare>(?:(?:bearer|basic)\s+)?(?:[^\s\"'&,})\\]|,(?!\s)|\\+(?![\\\"']))+)",
    )
)
_NAMED = re.compile(rf"(?is)(?P<name>(?:{_NAMES})(?:\\*[\"']?\s*[=:]\s*|\\*[\"']\s*,\s*(?=\\*[\"'])))(?:{_VALUE})")
_USERINFO = re.compile(r"(?<=://)[^\s/?#\"'<>\\@]*:[^\s/?#\"'<>\\]*(?=@)")
_WEBHOOK = re.compile(r"(?<=hooks\.slack\.com/services/)[^\s\"'<>\\]+")
_PRIVATE_KEY = re.compile(r"(?s)(?<=-----BEGIN )((?:[A-Z]+ )?PRIVATE KEY-----).*?(-----END|$)")

_lock = threading.Lock()
_known: frozenset[str] = frozenset()


def keep_out(values: Iterable[str]) -> None:
    """Remembers secret values, which `redact` finds from now on as long as this process lives."""
    global _known  # noqa: PLW0603 - a process has one set of secrets, whoever reads them
    with _lock:
        _known |= frozenset(values)


def redact(text: str) -> str:
    """Replaces by *** the secrets that this process has read, and the values of everything that is named like a secret."""
    text = strike_out(text, _known)
    text = _PRIVATE_KEY.sub(rf"\1{_STRUCK}\2", text)
    text = _WEBHOOK.sub(_STRUCK, _USERINFO.sub(_STRUCK, text))
    return _NAMED.sub(_without_value, text)


def strike_out(text: str, values: Iterable[str]) -> str:
    """Replaces some secret values by ***: as they are, escaped for a URL, JSON or HTML, also twice, and in Base64."""
    # The longest first, of which another may be a part.
    for value in sorted(set(values), key=len, reverse=True):
        pattern = _pattern(value)
        text = text if pattern is None else pattern.sub(_STRUCK, text)
    return text


def secrets_in(secret: Mapping[str, object]) -> Iterator[str]:
    """Lists what of a source's secret no text may say: all but addresses and names, and what signing in makes of it."""
    for name, value in secret.items():
        if name not in _TOLD:
            yield str(value)
            for user in ("username", "user", "registry_username"):
                if user in secret:
                    yield base64.b64encode(f"{secret[user]}:{value}".encode()).decode()
        elif name in _URLS and "@" in str(value):
            yield str(value).partition("//")[2].partition("@")[0] or str(value).partition("@")[0]


def _without_value(found: re.Match[str]) -> str:
    [(group, value)] = [(name, text) for name, text in found.groupdict().items() if name != "name" and text is not None]
    whole, start = found[0], found.start(group) - found.start()
    scheme = re.match(r"(?i)(?:bearer|basic)\s+", value)
    kept = scheme[0] if scheme else ""
    return f"{whole[:start]}{kept}{_STRUCK}{whole[start + len(value) :]}"


@lru_cache(maxsize=1024)
def _pattern(value: str) -> re.Pattern[str] | None:
    """Finds a value however it is written; each has a pattern of its own, since a new one, such as a token, costs no other's anew."""
    forms = dict.fromkeys(form for part in sorted(_parts(value), key=len, reverse=True) for form in _forms(part))
    if not forms:
        return None
    # Nearly every character of a text begins no secret. Where a form begins with a letter or a digit as it is, that is seen at
    # once; all others are tried where one of them could begin.
    plain = "|".join(f"{first}{rest}" for first, _, rest in forms if first.isalnum())
    begin = "".join(sorted({re.escape(first) for first, _, _ in forms if not first.isalnum()}))
    escaped = "|".join(f"{written}{rest}" for _, written, rest in forms)
    return re.compile(f"{plain or '(?!)'}|(?=[{_ESCAPES}{begin}])(?:{escaped})")


def _parts(value: str) -> Iterator[str]:
    """A value itself; of a key in several lines each line, since a text may quote one of them."""
    lines = [line.strip() for line in value.splitlines() if not line.startswith("-----")]
    for part in lines if len(lines) > 1 else [value.strip()]:
        if len(part) >= _SHORTEST_SECRET:
            yield part


def _forms(value: str) -> Iterator[tuple[str, str, str]]:
    """The ways in which a value is written: its first character as it is and however it is written, and what follows."""
    yield value[0], _written(value[0]), "".join(map(_written, value[1:]))
    for text in dict.fromkeys((value, json.dumps(value)[1:-1])):
        content = text.encode("utf-8", "surrogatepass")
        if len(content) >= _SHORTEST_IN_BASE64:
            for before in range(3):
                certain = _certain(content, before)
                rest = f"{''.join(map(_in_base64, certain[1:]))}[A-Za-z0-9+/_-]{{0,2}}={{0,2}}"
                yield certain[0], _in_base64(certain[0]), rest


def _certain(content: bytes, before: int) -> str:
    """What Base64 makes of some bytes, whatever stands around them, with so many of others before them, in threes."""
    encoded = base64.b64encode(bytes(before) + content).decode().rstrip("=")
    first = -(-before * 8 // 6)
    return encoded[first : (before + len(content)) * 8 // 6]


def _in_base64(character: str) -> str:
    if character in "+/":
        other = {"+": "-", "/": "_"}[character]
        return f"(?:{_written(character)}|{other})"
    return character


@lru_cache(maxsize=4096)
def _written(character: str) -> str:
    """Finds one character as it is, or as JSON, a URL, Python or HTML writes it."""
    code = ord(character)
    content = character.encode("utf-8", "surrogatepass")
    # Entities come first and what it is comes last, for an ampersand begins its own.
    forms = []
    if not character.isalnum():
        entities = [rf"{_NUMBER}0*{code}", rf"{_NUMBER}[xX]0*{_hex(f'{code:x}')}"]
        entities += [codepoint2name[code]] if code in codepoint2name else []
        entities += ["apos"] if character == "'" else []
        forms.append(rf"{_AMPERSAND}(?:{'|'.join(entities)}){_END}")
    forms.append("".join(rf"%(?:25)*{_hex(f'{byte:02x}')}" for byte in content))
    forms.append("".join(rf"{_BACKSLASH}+x{_hex(f'{byte:02x}')}" for byte in content))
    units = character.encode("utf-16-be", "surrogatepass")
    pairs = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
    forms.append("".join(rf"{_BACKSLASH}+u{_hex(pair)}" for pair in pairs))
    if not content.isascii():
        forms.append(rf"{_BACKSLASH}+x{_hex(f'{code:02x}')}")
    if character == " ":
        forms.append(r"\+")
    if character in _ESCAPED:
        forms.append(rf"{_BACKSLASH}+{_ESCAPED[character]}")
    forms.append(re.escape(character))
    # Whatever is no letter and no digit may have a backslash before it, and a backslash may be two.
    return f"{'' if character.isalnum() else f'{_BACKSLASH}*'}(?:{'|'.join(forms)})"


def _hex(digits: str) -> str:
    return "".join(digit if digit.isdigit() else f"[{digit}{digit.upper()}]" for digit in digits)
