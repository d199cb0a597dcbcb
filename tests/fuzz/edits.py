"""What is drawn: a good input, and what is done to it. A corpus is one good input of each kind, and small."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from hypothesis import strategies as st

# What readers stumble over: numbers beyond every type, nesting, marks and breaks that only some take for such, and half a character.
TOKENS = (
    *(
        b"1e9999999999999999999",
        b"-1e-9999999999999999999",
        b"1" * 1001,
        b"0." + b"9" * 1001,
        b"NaN",
        b"Infinity",
        b"-0",
    ),
    *(
        b"[" * 70,
        b'{"a":' * 70,
        b"[" * 2000,
        b"]",
        b"}",
        b'"',
        b",",
        b":",
        b";",
        b"\\",
        b"\\ud800",
        b"\\u0000",
        b"null",
    ),
    *(
        "\u2028".encode(),
        "\x85".encode(),
        "\ufeff".encode(),
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xff",
        b"\xc3",
        b"\x00",
        b"\n",
        b"\r",
        b"\t",
    ),
    *(
        b'"_problem":1,',
        b'"_account":"x",',
        b"<!ENTITY a 'b'>",
        b"<f>1+1</f>",
        b"<v>",
        b"</v>",
        b"=1+1",
        b"0000-00-00",
        b"10000-01-01",
    ),
    *(b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"PAR1", b"\xf3\x89\x9a\xc2", b"\xff" * 10, b"\x7f\xff\xff\xff", b"\x80"),
)
KINDS = ("insert", "insert", "replace", "replace", "delete", "double", "cut", "flip")
_Edit = tuple[str, float, bytes, int]
_EDITS: st.SearchStrategy[_Edit] = st.tuples(
    st.sampled_from(KINDS),
    st.floats(0, 1, width=32),
    st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=4),
    st.integers(1, 64),
)


def drawn(dice: Random, good: Sequence[bytes]) -> bytes:
    """One of some good inputs, with a few edits: the same as `edited` draws, a hundred times as fast, and no smaller once it fails."""
    return _apply(
        dice.choice(good),
        [
            (
                dice.choice(KINDS),
                dice.random(),
                dice.choice(TOKENS) if dice.random() < 0.7 else dice.randbytes(4),
                dice.randint(1, 64),
            )
            for _ in range(dice.randint(0, 6))
        ],
    )


def edited(good: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of some good inputs, with a few edits."""
    return st.builds(_apply, st.sampled_from(good), st.lists(_EDITS, max_size=6))


def _apply(body: bytes, edits: Sequence[_Edit]) -> bytes:
    for kind, place, token, length in edits:
        at = int(place * len(body))
        before, behind = body[:at], body[at:]
        match kind:
            case "insert":
                body = before + token + behind
            case "replace":
                body = before + token + behind[len(token) :]
            case "delete":
                body = before + behind[length:]
            case "double":
                body = before + behind[:length] * 2 + behind[length:]
            case "cut":
                body = before
            case _:
                body = before + bytes(byte ^ (1 << length % 8) for byte in behind[:1]) + behind[1:]
    return body
