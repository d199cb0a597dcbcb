"""What must not hold up what is behind it: data of a record that is no row, by the reason that it has."""

from __future__ import annotations

import json
from collections.abc import Mapping

from headwater.ledger.raw import Problem
from headwater.ledger.untrusted import MOST_DIGITS, MOST_FIELDS, MOST_LEVELS

LARGEST = 262_144
POISON: Mapping[bytes, Problem] = {
    b'{"amount":1e9999999999999999999}': "not_json",
    b'{"amount":-1e-9999999999999999999}': "not_json",
    b'{"amount":1e10000}': "not_json",
    b'{"amount":%s}' % (b"1" * (MOST_DIGITS + 1)): "not_json",
    b'{"amount":0.%s}' % (b"1" * MOST_DIGITS): "not_json",
    b'{"amount":NaN}': "not_json",
    b'{"amount":-Infinity}': "not_json",
    b'{"a":' * 420 + b"1.5" + b"}" * 420: "not_json",
    b'{"a":%s1.5%s}' % (b"[" * MOST_LEVELS, b"]" * MOST_LEVELS): "not_json",
    b"[" * 100_000: "not_json",
    b'{"a":1} {"a":2}': "not_json",
    b"{'a':1}": "not_json",
    b'{"a":"\n"}': "not_json",
    b"": "not_json",
    b"\x00": "not_json",
    b"null": "not_an_object",
    b'["a"]': "not_an_object",
    b'"{}"': "not_an_object",
    b'{"event_id":"x","_problem":"none of mine"}': "bad_row",
    b'{"event_id":"x","_account":"another"}': "bad_row",
    json.dumps(dict.fromkeys(map(str, range(MOST_FIELDS + 1)))).encode(): "too_large",
    b'{"page":"%s"}' % (b"x" * LARGEST): "too_large",
    b"\xff\xfe": "bad_encoding",
    '{"event_id":"é"}'.encode("latin-1"): "bad_encoding",
    '{"event_id":"x"}'.encode("utf-16"): "bad_encoding",
}
