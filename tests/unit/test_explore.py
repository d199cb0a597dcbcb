"""The way in for a source: what is guessed, proposed and started, and that no secret is ever printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from headwater.config import HttpSource, Source
from headwater.deploy.project import load_source
from headwater.errors import ConfigError, FatalSourceError, HeadwaterError
from headwater.explore import cli as explore
from headwater.explore import opening, starting
from headwater.explore.found import Field, Found, Sample
from headwater.explore.http import HttpExplorer
from headwater.explore.infer import fields_of, key_of, version_of
from headwater.explore.proposal import column_name, stream_yaml, table_name, table_yaml
from headwater.explore.relations import found_in
from headwater.explore.secret import Secret, secret_in
from headwater.sources.http.auth import Auth
from tests.support.http_fakes import FakeSend, answer, client
from tests.support.paths import ROOT

PLANTED = "s3cr3t/väl ue+"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "config" / "sources").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("kind", starting.kinds())
def test_a_started_source_is_valid_once_its_placeholders_are_filled_in(kind: str, project: Path) -> None:
    path = starting.start(project, "desk_1", kind)
    with pytest.raises(ConfigError, match=r"desk_1\.yaml:\d+: still says FILL_IN"):
        starting.refuse_unfilled(path, streams=True)
    path.write_text(path.read_text().replace("FILL_IN", "example"))
    starting.refuse_unfilled(path, streams=True)
    source = load_source(project, "desk_1")
    assert (source.name, source.kind) == ("desk_1", kind)
    assert "NAME" not in path.read_text()
    steps = list(starting.next_steps("desk_1", kind, path))
    told = " ".join(steps)
    assert all(f"headwater source {verb} desk_1" in told for verb in ("check", "discover", "preview"))
    assert ("--secret-file" in told) == (source.secret is not None)


def test_there_is_a_template_for_every_kind() -> None:
    kinds = TypeAdapter(Source).json_schema()["discriminator"]["mapping"]
    assert starting.kinds() == sorted(kinds)


def test_a_source_that_is_there_stays_as_it_is(project: Path) -> None:
    path = starting.start(project, "desk", "http")
    path.write_text("mine")
    with pytest.raises(ConfigError, match="stays as it is"):
        starting.start(project, "desk", "jdbc")
    assert path.read_text() == "mine"


def test_only_what_comes_before_the_streams_must_be_filled_in_to_discover(project: Path) -> None:
    starting.refuse_unfilled(starting.start(project, "a", "jdbc"), streams=False)
    with pytest.raises(ConfigError, match="FILL_IN"):
        starting.refuse_unfilled(starting.start(project, "b", "snowflake"), streams=False)


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([1, 2, None], "bigint"),
        ([True, False], "boolean"),
        ([Decimal("1.50"), 2], "decimal(18,2)"),
        ([Decimal("0.123456")], "decimal(18,6)"),
        (["2026-01-31"], "date"),
        (["2026-01-31T10:00:00Z", "2026-01-31"], "timestamp"),
        (["2026-02-31"], "string"),
        (["a", 1], "string"),
        ([None], "string"),
        ([{"a": 1}], "string"),
        ([2**70], "decimal(38,0)"),
        (["2026-01-31T10:00:00Z"] * 19 + ["?"], "timestamp"),
    ],
)
def test_a_type_is_guessed_from_what_most_values_are(values: list[Any], type_: str) -> None:
    assert fields_of([{"x": value} for value in values]) == (Field("x", type_),)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
ROWS = st.lists(st.dictionaries(st.text(min_size=1, max_size=12), JSON_VALUES, max_size=5), max_size=6)


@given(ROWS)
def test_any_rows_become_a_proposal_that_is_yaml(rows: list[dict[str, Any]]) -> None:
    fields = fields_of(rows)
    found = Found(
        "Rows.of-it", "p", fields, {"topic": "t", "format": "json"}, key_of(fields, rows), version_of(fields), raw=True
    )
    [(name, stream)] = yaml.safe_load(stream_yaml(found, "rows")).items()
    table = yaml.safe_load(table_yaml(found, "rows"))
    assert name == "rows_of_it"
    assert stream["raw"] == [field.name for field in fields]
    assert len(table["columns"] or {}) == len(fields)
    assert all(column.isidentifier() and column.lower() == column for column in table["columns"] or {})
    assert {*stream.get("columns", {})} <= {*(table["columns"] or {})}


def test_a_proposal_of_a_relation_is_a_stream_and_a_table() -> None:
    columns = [
        ("Shop", "Orders", "orderId", "bigint", 1),
        ("Shop", "Orders", "total", "decimal(12,2)", 0),
        ("Shop", "Orders", "updated_at", "timestamp", 0),
    ]
    [found] = found_in(columns, "jdbc")
    assert stream_yaml(found, "orders").splitlines() == [
        "  orders:",
        "    table: orders",
        "    relation: shop.orders",
        "    read: { kind: watermark, column: updated_at }",
        "    partition_column: orderid",
    ]
    assert table_yaml(found, "orders").splitlines() == [
        "table: orders",
        "owner: FILL_IN",
        "note: FILL_IN",
        "key: [orderid]",
        "version: updated_at",
        "write: { kind: merge }",
        "columns:",
        "  orderid: { type: bigint, note: FILL_IN }",
        "  total: { type: 'decimal(12,2)', note: FILL_IN }",
        "  updated_at: { type: timestamp, note: FILL_IN }",
    ]


def test_a_relation_without_a_version_is_read_by_its_growing_key_and_says_so() -> None:
    [found] = found_in([("s", "events", "id", "bigint", 1), ("s", "events", "name", "string", 0)], "jdbc")
    assert "kind: bookmark, keys: [id] } # only where rows are never changed" in stream_yaml(found, "events")


def test_names_become_columns_and_tables_that_are_free() -> None:
    names = ["userId", "HTTPStatus", "a.b", "1st", "_x", "ÄÖ"]
    assert [column_name(n) for n in names] == ["user_id", "http_status", "a_b", "f_1st", "x", "field"]
    found = Found("Orders", "p", (), {})
    assert (table_name("erp", found, set()), table_name("erp", found, {"orders"})) == ("orders", "erp_orders")


def source_of(**changes: Any) -> HttpSource:
    stream = {
        "table": "tickets",
        "path": "/tickets",
        "records": "tickets",
        "read": {"kind": "window", "field": "updated_at", "history_days": 30},
        "raw": ["id", "updated_at"],
    }
    declared = {"kind": "http", "name": "desk", "base_url": "https://desk.example.com", "rate": {"calls": 5}}
    return HttpSource.model_validate({**declared, "streams": {"tickets": stream}, **changes})


def api(send: FakeSend, source: HttpSource | None = None) -> HttpExplorer:
    from datetime import date

    secret = Secret({"access_token": PLANTED}, lambda new: None)
    auth = Auth(headers={"Authorization": f"Bearer {PLANTED}"}, secrets=(PLANTED,))
    return HttpExplorer(source or source_of(), secret, client(send, auth=auth), date(2026, 1, 31))


def test_an_api_is_checked_by_the_first_request_of_each_stream() -> None:
    send = FakeSend(answer({"tickets": [{"id": 1, "updated_at": "2026-01-30"}]}), answer({"tickets": []}))
    assert api(send).check("tickets") == "answers"
    assert api(send).check("tickets") == "answers (no row in 7 days)"
    assert len(send.requests) == 2


def test_an_api_that_refuses_is_told_of_without_its_token() -> None:
    send = FakeSend(answer({"error": f"bad token {PLANTED}"}, status=401))
    with pytest.raises(FatalSourceError, match="refuses these credentials") as refused:
        api(send).check("tickets")
    assert PLANTED not in str(refused.value)


def test_a_path_that_no_stream_has_is_sampled() -> None:
    rows = [{"id": n, "createdAt": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z"} for n in range(3)]
    found = api(FakeSend(answer({"meta": {"n": 3}, "data": {"items": rows}}))).find_at("/v1/reviews?page=1")
    assert found.declares["records"] == "data.items"
    assert (found.name, found.key, found.version) == ("reviews", ("id",), "updated_at")
    with pytest.raises(ConfigError, match="an object of meta"):
        api(FakeSend(answer({"meta": 1}))).find_at("/v1/none")


def test_what_a_declared_stream_says_stays_in_its_proposal() -> None:
    paging = {"kind": "offset", "total": "total"}
    declared = source_of(paging={"kind": "none"})
    streams = {"tickets": {**declared.streams["tickets"].model_dump(exclude_unset=True), "paging": paging}}
    rows = [{"id": 1, "updated_at": "2026-01-30", "subject": "?"}]
    [found] = api(FakeSend(answer({"tickets": rows, "total": 1})), source_of(streams=streams)).find()
    [(_, proposed)] = yaml.safe_load(stream_yaml(found, table_name("desk", found, set()))).items()
    assert proposed == {**streams["tickets"], "raw": ["id", "updated_at", "subject"]}


def test_a_field_that_no_row_has_is_not_what_a_stream_is_read_by() -> None:
    rows = [{"id": 1, "changed_at": "2026-01-30T10:00:00Z"}]
    [found] = api(FakeSend(answer({"tickets": rows}))).find()
    assert found.declares["read"]["field"] == "changed_at"


@pytest.mark.parametrize(
    ("beside", "paging"),
    [
        ({"total_items": 80}, {"kind": "FILL_IN", "total": "data.total_items"}),
        ({"count": 81}, {"kind": "FILL_IN", "total": "data.count"}),
        ({"total_items": 3}, None),
        ({"total_items": True, "total_spent": 99}, None),
    ],
)
def test_an_answer_that_counts_more_rows_than_it_has_is_not_taken_for_all(beside: Any, paging: Any) -> None:
    found = api(FakeSend(answer({"data": {"rows": [{"id": n} for n in range(3)], **beside}}))).find_at("/v1/rows")
    assert found.declares.get("paging") == paging
    assert ("# offset or page" in stream_yaml(found, "rows")) == (paging is not None)


def test_a_path_keeps_its_query_as_parameters_and_its_account_as_a_column_of_the_key() -> None:
    send = FakeSend(answer({"rows": [{"id": 1}]}))
    found = api(send, source_of(accounts=["a1", "a2"])).find_at("/v1/{account}/rows?count=9")
    assert "/v1/a1/rows?count=9" in send.requests[0].url
    [(_, stream)] = yaml.safe_load(stream_yaml(found, "rows")).items()
    assert (stream["path"], stream["params"], stream["raw"]) == ("/v1/{account}/rows", {"count": "9"}, ["id"])
    assert stream["columns"] == {"account_id": "_account"}
    assert yaml.safe_load(table_yaml(found, "rows"))["key"] == ["account_id", "id"]


class Fake:
    """An explorer of whatever kind, whose answers hold the secret in every way that a source could send it back."""

    def __init__(self, text: str) -> None:
        self.text = text

    def check(self, stream: str) -> str:
        if stream == "tickets":
            raise FatalSourceError(f"refused {self.text}. hint: ask")
        return f"read {self.text}"

    def find(self) -> Iterator[Found]:
        yield Found("t", self.text, (Field(self.text, "string"),), {"path": self.text}, raw=True)

    def sample(self, stream: str, rows: int) -> Sample:
        raise FatalSourceError(f"cannot read {self.text}")


def in_all_forms(secret: str) -> str:
    import base64
    from urllib.parse import quote, quote_plus

    both = base64.b64encode(f"me:{secret}".encode()).decode()
    dsn = f"postgresql://me:{quote(secret, safe='')}@db:5432/x"
    return f"{secret} {quote_plus(secret)} {json.dumps(secret)} Basic {both} {dsn}"


@pytest.mark.parametrize("command", ["check", "discover", "preview"])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_no_secret_is_printed_whatever_a_source_answers(
    command: str, as_json: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "secret.json"
    kept.touch(0o600)
    kept.write_text(json.dumps({"username": "me", "password": PLANTED}))

    @contextmanager
    def opened(*_: object) -> Iterator[Fake]:
        yield Fake(in_all_forms(PLANTED))

    monkeypatch.setattr(explore, "open_explorer", opened)
    monkeypatch.setattr(explore, "reach", lambda env: None)
    monkeypatch.setattr(explore, "today_in", lambda env: None)
    monkeypatch.setattr(explore, "_declared", lambda env, name: (source_of(), None))
    monkeypatch.setattr(starting, "refuse_unfilled", lambda path, streams: None)
    called = [command, "desk", "--env", "dev", "--secret-file", str(kept), *as_json]
    from headwater import cli

    monkeypatch.setattr("sys.argv", ["headwater", "source", *called])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = "".join(capfd.readouterr())
    assert ended.value.code == (0 if command == "discover" else 1)
    assert "***" in told
    assert not [form for form in in_all_forms(PLANTED).split(" ") if len(form) > 8 and form in told]
    assert "Traceback" not in told


# Of four characters that can be seen, in one line: what is shorter stands in other words too.
@given(st.from_regex(r"\A\S{4,20}\Z"), st.text(max_size=10), st.text(max_size=10))
def test_a_secret_is_struck_out_of_any_text_around_it(value: str, before: str, after: str) -> None:
    secret = Secret({"password": value, "host": "db"}, lambda new: None)
    struck = secret.struck({"a": [f"{before}{value}{after}"], "n": 1})
    # What is left may hold the secret again only where the stars themselves spell it.
    assert value not in struck["a"][0].replace("***", "\0") or "*" in value


def test_a_secret_is_struck_out_of_an_error_and_of_its_cause() -> None:
    secret = Secret({"password": "hunter22"}, lambda new: None)
    error = HeadwaterError("no session with hunter22")
    error.__cause__ = OSError("dsn has hunter22")
    with pytest.raises(HeadwaterError) as failed, secret.kept():
        raise error
    assert "hunter22" not in f"{failed.value} {failed.value.__cause__}"


@pytest.mark.parametrize("text", ["no json", "[1]", '{"a": {"b": 1}}', ""])
def test_a_file_that_is_no_secret_is_told_of_without_what_it_holds(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(ConfigError, match="no JSON object of texts") as refused:
        secret_in(path)
    assert not text or text not in str(refused.value)


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text("{}")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        secret_in(path)


def test_a_rotated_token_is_kept_in_the_file_it_came_from(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.touch(0o600)
    path.write_text('{"refresh_token": "old"}')
    secret_in(path).save({"refresh_token": "new"})
    assert json.loads(path.read_text()) == {"refresh_token": "new"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_the_library_logs_is_not_among_the_answers(tmp_path: Path) -> None:
    kept = tmp_path / "secret.json"
    kept.touch(0o600)
    kept.write_text("{}")
    proxy = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
    command = [sys.executable, "-m", "headwater.cli", "source", "check", "fx_rates", "--env", "dev", "--json"]
    done = subprocess.run(
        [*command, "--secret-file", str(kept)],
        env=os.environ | proxy | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [told] = json.loads(done.stdout)
    assert (told["stream"], told["ok"]) == ("rates", "no")
    assert "no connection" in told["found"]


def test_a_driver_that_is_missing_is_one_line_that_names_the_extra() -> None:
    with pytest.raises(HeadwaterError, match=r"psycopg is not installed.*headwater\[local\]"), opening.told_of_extras():
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
    with pytest.raises(ModuleNotFoundError), opening.told_of_extras():
        raise ModuleNotFoundError("No module named 'headwatr'", name="headwatr")


def test_every_extra_brings_what_it_is_said_to_bring() -> None:
    extras: Mapping[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    distributions = {"snowflake": "snowflake-connector-python", "confluent_kafka": "confluent-kafka", "py4j": "pyspark"}
    for module, extra in opening.EXTRAS.items():
        assert any(line.startswith(distributions.get(module, module)) for line in extras[extra]), module
