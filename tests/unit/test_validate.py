"""`headwater validate` tells every mistake once, where it is, and nothing of what is right."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headwater.deploy.project import Declared, load_project
from headwater.errors import ConfigError
from headwater.validate.understanding import mistakes
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """Every document of config/, by its path; of the environments two, whose mistakes are told apart."""
    folders = [path for path in (ROOT / "config").glob("*/*.yaml") if path.parent.name not in {"roles", "cost"}]
    paths = [path for path in folders if path.parent.name != "environments" or path.stem in {"local", "prod"}]
    return {str(path.relative_to(ROOT)): yaml.load(path.read_text(), yaml.CSafeLoader) for path in paths}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("config", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


class Plain(yaml.CSafeDumper):
    """Writes what YAML repeats by an alias as often as it is there, so that a mistake is planted in one place."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dumped(document: Any) -> str:
    return yaml.dump(document, Dumper=Plain, sort_keys=False, allow_unicode=True)


def found(root: Path) -> list[str]:
    try:
        return mistakes(Declared(root))
    except ConfigError as error:
        return str(error).splitlines()


def test_what_is_declared_has_no_mistake() -> None:
    assert mistakes(Declared(ROOT)) == []


FX, ORDERS, PROD = "config/sources/fx_rates.yaml", "config/quality/orders.yaml", "config/environments/prod.yaml"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (FX, "base_url:", "base_ulr:", "base_ulr: no such key base_ulr, did you mean base_url?"),
        (FX, "kind: http", "kind: htp", "kind: no kind htp, did you mean http?"),
        (FX, "name: fx_rates", "name: fx_rates\nname: fx", "name: this key comes twice"),
        (FX, "kind: http", "\tkind: http", "not readable as YAML"),
        (
            FX,
            "    table: fx_rates",
            "    table: fx_rate",
            "streams.rates.table: no table fx_rate, did you mean fx_rates?",
        ),
        (FX, "name: fx_rates", "name: fx_rates\nsecret: 9f8e7d6c5b4a39281706", "secret: is no name of a secret"),
        (
            "config/tables/fx_rates.yaml",
            "type: date",
            "type: dat",
            "columns.date.type: type 'dat' is unknown, did you mean date?",
        ),
        (
            "config/tables/orders.yaml",
            "type: bigint",
            "type: bigintt",
            "type 'bigintt' is unknown, did you mean bigint?",
        ),
        (ORDERS, "is: in_set", "is: one_of", "rows.1.is: no is one_of"),
        (ORDERS, "that: status", "that: staus", "rows.1.that: no column staus, did you mean status?"),
        (
            "config/sources/hubspot.yaml",
            "lower(nullif(get_json_object(properties, '$.email'), ''))",
            "lowr(nullif(get_json_object(properties, '$.email'), '')",
            "columns.email: not readable as Spark SQL",
        ),
        (
            "config/sources/hubspot.yaml",
            "lower(nullif(get_json_object(properties, '$.email'), ''))",
            "lowr(nullif(get_json_object(properties, '$.email'), ''))",
            "columns.email: Spark has no function lowr, did you mean lower?",
        ),
        (
            "config/sources/hubspot.yaml",
            "lower(nullif(get_json_object(properties, '$.email'), ''))",
            "lower(nullif(get_json_object(propreties, '$.email'), ''))",
            "columns.email: no field propreties, did you mean properties?",
        ),
        (
            "config/quality/crm_contacts.yaml",
            '"^[^@',
            '"^[[^@',
            "rows.0.pattern: not a regular expression by Java's rules: an unclosed character class",
        ),
        (
            PROD,
            "time_zone: Europe/Dublin",
            "time_zone: Europe/Dubln",
            "time_zone: no time zone Europe/Dubln, did you mean Europe/Dublin?",
        ),
        (PROD, "facebook_ads", "facebok_ads", "no source facebok_ads, did you mean facebook_ads?"),
        (
            PROD,
            "customers: [",
            "custmers: [",
            "analysts.hidden_columns.custmers: no table custmers, did you mean customers?",
        ),
        (
            PROD,
            "customers: [",
            "customers: [emial, ",
            "analysts.hidden_columns.customers.0: no column emial, did you mean email?",
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_line_and_path(root: Path, file: str, old: str, new: str, said: str) -> None:
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))
    [told] = found(root)
    assert re.match(rf"{file}:\d+: ", told)
    assert said in told


def test_a_secrets_value_is_refused_and_not_shown(root: Path) -> None:
    value = "sk_live_51Habcdefghijklmnopqrstuvwxyz"
    for name, line in (("facebook_ads", "secret: facebook_ads"), ("hubspot", "secret: hubspot")):
        path = root / "config" / "sources" / f"{name}.yaml"
        path.write_text(path.read_text().replace(line, f"secret: {value}", 1))
    told = found(root)
    assert len(told) == 2
    assert all("is no name of a secret" in line and value not in line for line in told)


SECRET = "a8F3kQ0zR7vLw2Xn5Tt9Yb4Cd6Eg1Hj"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (FX, "name: fx_rates", f"name: fx_rates\nsecret: {SECRET}"),
        (FX, "name: fx_rates", f"name: fx_rates\nauth: {{ kind: bearer, token: {SECRET} }}"),
        (FX, "name: fx_rates", f"name: fx_rates\nauth: {{ kind: headers, headers: {{ x-api-key: {SECRET} }} }}"),
        (FX, "name: fx_rates", f"name: fx_rates\nauth: {{ kind: query, params: {{ key: {SECRET} }} }}"),
        (FX, "name: fx_rates", f"name: fx_rates\nauth: {{ kind: basic, user: me, password: {SECRET} }}"),
        (FX, "name: fx_rates", f"name: fx_rates\nauth: {{ kind: oauth, token_url: /t, client_secret: {SECRET} }}"),
        (FX, "params: {", f"params: {{ api_key: {SECRET}, "),
        (FX, "params: {", f"params: {{ access_token: {SECRET}, "),
        (FX, "https://", f"https://user:{SECRET}@"),
        ("config/environments/prod.yaml", "alerts:", f"alerts:\n  slack_secret: {SECRET}"),
    ],
)
def test_a_secret_is_refused_wherever_it_is_pasted_and_never_shown(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))
    [told] = found(root)
    assert SECRET not in told


# The generator: kinds of mistakes, each planted somewhere at random in a document, and what must be said of it.

Told = tuple[str, str]
"""The path at which a mistake is told, and a part of what is said."""
Plant = Callable[[random.Random, Any], Iterator[Told]]


def misspelt(dice: random.Random, word: str) -> str:
    """A word with a letter too many somewhere inside."""
    at = dice.randrange(1, len(word))
    return f"{word[:at]}{dice.choice('qxz')}{word[at:]}"


def some(dice: random.Random, items: Any) -> Any:
    return dice.choice(list(items))


def renamed(mapping: dict[str, Any], old: str, new: str) -> None:
    items = [(new if key == old else key, value) for key, value in mapping.items()]
    mapping.clear()
    mapping.update(items)


def key_of_table(dice: random.Random, table: Any) -> Iterator[Told]:
    key = some(dice, ["owner", "note", "key", "columns"])
    wrong = misspelt(dice, key)
    renamed(table, key, wrong)
    yield wrong, f"no such key {wrong}, did you mean {key}?"


def key_of_column(dice: random.Random, table: Any) -> Iterator[Told]:
    name = some(dice, table["columns"])
    wrong = misspelt(dice, "type")
    renamed(table["columns"][name], "type", wrong)
    yield f"columns.{name}.{wrong}", f"no such key {wrong}"


def type_of_column(dice: random.Random, table: Any) -> Iterator[Told]:
    name = some(dice, table["columns"])
    column = table["columns"][name]
    word = re.match(r"[a-z]+", column["type"])
    assert word is not None
    column["type"] = column["type"].replace(word[0], misspelt(dice, word[0]), 1)
    yield f"columns.{name}.type", "is unknown"


def column_of_key(dice: random.Random, table: Any) -> Iterator[Told]:
    number = dice.randrange(len(table["key"]))
    wrong = table["key"][number] = misspelt(dice, table["key"][number])
    yield "key", f"no column {wrong}"


def no_write(dice: random.Random, table: Any) -> Iterator[Told]:
    wrong = misspelt(dice, some(dice, ["merge", "scd2", "insert", "replace"]))
    table["write"] = {"kind": wrong}
    yield "write.kind", f"no kind {wrong}, did you mean"


def table_of_stream(dice: random.Random, source: Any) -> Iterator[Told]:
    name = some(dice, source["streams"])
    wrong = source["streams"][name]["table"] = misspelt(dice, source["streams"][name]["table"])
    yield f"streams.{name}.table", f"no table {wrong}"


def column_of_stream(dice: random.Random, source: Any) -> Iterator[Told]:
    name = some(dice, source["streams"])
    source["streams"][name].setdefault("columns", {})["stray_column"] = "1"
    yield f"streams.{name}.columns.stray_column", "not a column of table"


def secret_of_source(dice: random.Random, source: Any) -> Iterator[Told]:
    source["secret"] = "".join(dice.choices("abcdefghijkmnpqrstuvwxyz0123456789", k=dice.randrange(26, 60)))
    yield "secret", "is no name of a secret"


def check_is(dice: random.Random, policy: Any) -> Iterator[Told]:
    part = some(dice, [part for part in ("rows", "batch") if policy.get(part)])
    number = dice.randrange(len(policy[part]))
    wrong = policy[part][number]["is"] = misspelt(dice, policy[part][number]["is"])
    yield f"{part}.{number}.is", f"no is {wrong}"


def check_that(dice: random.Random, policy: Any) -> Iterator[Told]:
    places = [
        (part, n) for part in ("rows", "batch") for n, check in enumerate(policy.get(part, ())) if "that" in check
    ]
    part, number = some(dice, places)
    wrong = policy[part][number]["that"] = misspelt(dice, policy[part][number]["that"])
    yield f"{part}.{number}.that", f"no column {wrong}"


def check_level(dice: random.Random, policy: Any) -> Iterator[Told]:
    part = some(dice, [part for part in ("rows", "batch") if policy.get(part)])
    number = dice.randrange(len(policy[part]))
    policy[part][number]["level"] = "stop"
    yield f"{part}.{number}.level", "Input should be"


def check_argument(dice: random.Random, policy: Any) -> Iterator[Told]:
    part = some(dice, [part for part in ("rows", "batch") if policy.get(part)])
    number = dice.randrange(len(policy[part]))
    policy[part][number]["values_of"] = ["1"]
    yield f"{part}.{number}.values_of", "no such key values_of"


def environment_key(dice: random.Random, environment: Any) -> Iterator[Told]:
    wrong = misspelt(dice, "reporting_currency")
    environment[wrong] = "EUR"
    yield wrong, f"no such key {wrong}, did you mean reporting_currency?"


SHAPE: dict[str, list[Plant]] = {
    "tables": [key_of_table, key_of_column, type_of_column, no_write],
    "quality": [check_is, check_level, check_argument],
    "sources": [secret_of_source],
    "environments": [environment_key],
}
# These are told once every document has its shape, and before any expression is read.
FIT: dict[str, list[Plant]] = {
    "quality": [check_that],
    "sources": [column_of_stream],
}


def expressions(source: Any) -> list[tuple[str, str, str]]:
    return [
        (name, column, text)
        for name, stream in source["streams"].items()
        for column, text in (stream.get("columns") or {}).items()
        if isinstance(text, str)
    ]


def function(dice: random.Random, source: Any) -> Iterator[Told]:
    calls = [
        (*place, call)
        for *place, text in expressions(source)
        for call in re.findall(
            r"\b(coalesce|nullif|lower|get_json_object|from_json|transform|split|to_utc_timestamp)\(", text
        )
    ]
    if calls:
        name, column, call = some(dice, calls)
        wrong = misspelt(dice, call)
        columns = source["streams"][name]["columns"]
        columns[column] = columns[column].replace(f"{call}(", f"{wrong}(")
        yield f"streams.{name}.columns.{column}", f"Spark has no function {wrong}"


def field(dice: random.Random, source: Any) -> Iterator[Told]:
    raw = [
        (name, column, word)
        for name, column, text in expressions(source)
        for word in (source["streams"][name].get("raw") or [])
        if re.fullmatch(r"[a-zA-Z_]+", text) and text == word
    ]
    if raw:
        name, column, word = some(dice, raw)
        wrong = source["streams"][name]["columns"][column] = misspelt(dice, word)
        yield f"streams.{name}.columns.{column}", f"no field {wrong}"


def bracket(dice: random.Random, source: Any) -> Iterator[Told]:
    open_ones = [(name, column) for name, column, text in expressions(source) if text.endswith(")")]
    if open_ones:
        name, column = some(dice, open_ones)
        columns = source["streams"][name]["columns"]
        columns[column] = columns[column][:-1]
        yield f"streams.{name}.columns.{column}", "not readable as Spark SQL"


def pattern(dice: random.Random, policy: Any) -> Iterator[Told]:
    numbers = [number for number, check in enumerate(policy.get("rows", ())) if check["is"] == "matches"]
    if numbers:
        number = some(dice, numbers)
        check = policy["rows"][number]
        check["pattern"] = some(
            dice, [f"({check['pattern']}", f"*{check['pattern']}", f"{check['pattern']}**", f"{check['pattern']}\\"]
        )
        yield f"rows.{number}.pattern", "not a regular expression by Java's rules"


def zone(dice: random.Random, environment: Any) -> Iterator[Told]:
    name = some(dice, environment["schedules"]) if environment.get("schedules") else None
    if name:
        wrong = environment["schedules"][name]["time_zone"] = misspelt(dice, "Europe/Dublin")
        yield f"schedules.{name}.time_zone", f"no time zone {wrong}"


def override(dice: random.Random, environment: Any) -> Iterator[Told]:
    wrong = misspelt(dice, "fx_rates")
    environment.setdefault("sources", {})[wrong] = {"base_url": "https://example.com"}
    yield f"sources.{wrong}", f"no source {wrong}, did you mean fx_rates?"


MEANING: dict[str, list[Plant]] = {
    "sources": [function, field, bracket],
    "quality": [pattern],
    "environments": [zone, override],
}


@pytest.mark.parametrize(("phase", "rounds"), [(SHAPE, 5), (FIT, 6), (MEANING, 10)], ids=["shape", "fit", "meaning"])
def test_each_of_many_mistakes_is_told_once_where_it_is(
    root: Path, written: dict[str, Any], phase: dict[str, list[Plant]], rounds: int
) -> None:
    planted_in_all = 0
    for environment in ("dev", "staging"):
        (root / "config" / "environments" / f"{environment}.yaml").unlink()
    for seed in range(rounds):
        dice = random.Random(seed)
        expected: list[tuple[str, Told]] = []
        for file, document in written.items():
            plants = phase.get(Path(file).parent.name)
            changed = yaml.load(dumped(document), yaml.CSafeLoader)
            if plants:
                expected += [(file, told) for told in some(dice, plants)(dice, changed)]
            (root / file).write_text(dumped(changed))
        told = found(root)
        for file, (path, said) in expected:
            matching = [line for line in told if re.match(rf"{file}:\d+: {re.escape(path)}: ", line) and said in line]
            assert len(matching) == 1, (seed, file, path, said, [line for line in told if file in line])
        assert len(told) == len(expected), (seed, told)
        planted_in_all += len(expected)
    assert planted_in_all >= 150


def test_a_column_of_a_key_or_a_table_of_a_stream_that_is_misspelt_is_one_mistake(
    root: Path, written: dict[str, Any]
) -> None:
    for seed in range(20):
        dice = random.Random(seed)
        plant, folder = some(dice, [(column_of_key, "tables"), (table_of_stream, "sources")])
        file = some(dice, [file for file in written if f"/{folder}/" in file])
        changed = yaml.load(dumped(written[file]), yaml.CSafeLoader)
        [(path, said)] = plant(dice, changed)
        (root / file).write_text(dumped(changed))
        told = found(root)
        (root / file).write_text((ROOT / file).read_text())
        assert len(told) == 1, told
        assert re.match(rf"{file}:\d+: {re.escape(path)}: ", told[0])
        assert said in told[0]


def test_what_is_wrong_with_gold_is_told_by_line_beside_what_is_wrong_elsewhere(root: Path) -> None:
    gold, prod = root / "sql" / "gold" / "business_metrics.sql", root / PROD
    line = gold.read_text().splitlines().index("FROM sold_items AS items") + 1
    gold.write_text(gold.read_text().replace("\nFROM sold_items AS items", "\nFROM orderz AS items"))
    prod.write_text(prod.read_text().replace("Europe/Dublin", "Europe/Dublim", 1))
    of_environment, of_gold = sorted(found(root))
    assert of_environment.startswith(PROD)
    assert of_gold.startswith(
        f"sql/gold/business_metrics.sql:{line}: table orderz unknown; known, each also as changed_…: "
    )


def test_a_gold_file_that_cannot_be_parsed_is_told_and_no_package_is_made_of_it(root: Path) -> None:
    (root / "sql" / "gold" / "customer_analytics.sql").write_text("-- customer_analytics: what\n-- rows\nSELECT 1\n")
    assert found(root) == ["sql/gold/customer_analytics.sql:3: needs `-- affected`, then `-- rows`, with a query each"]
    with pytest.raises(ConfigError, match=r"^sql/gold/customer_analytics\.sql:3: needs"):
        load_project(root, "dev")


def test_what_was_pasted_and_not_filled_in_is_told_of_where_it_stands(root: Path) -> None:
    path = root / "config" / "tables" / "fx_rates.yaml"
    path.write_text(path.read_text().replace("owner: Finance", "owner: FILL_IN"))
    source = root / "config" / "sources" / "fx_rates.yaml"
    source.write_text(source.read_text().replace("/{api_version}/rates", "/FILL_IN"))
    told = mistakes(Declared(root))
    assert [re.sub(r":\d+:", ":", line) for line in told] == [
        "config/sources/fx_rates.yaml: streams.rates.path: still says FILL_IN",
        "config/tables/fx_rates.yaml: owner: still says FILL_IN",
    ]
