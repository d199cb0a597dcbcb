"""Every option and argument of every command, with values that are wrong: refused in one line, before anything is reached."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, NoReturn

import boto3
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater import cli
from headwater.deploy.project import load_project
from headwater.desk import choices, environments
from local import stack
from local.stack import Stack

# A good value of each argument and of each option that a command cannot do without.
GOOD = {
    "stream": "fx_rates.rates",
    "batch": "1",
    "reason": "because",
    "source": "fx_rates",
    "sql": "SELECT 1",
    "tables": "orders",
    "name": "fx_rates",
    "column": "gold.marketing_performance.roas",
    "who": "shop:5",
}
# Any text is good there: SQL is the engine's to judge, a reason the reader's, a path the API's, undeclared fields the ledger's.
FREE = {"sql", "reason", "path", "fields"}
# What is wrong of a text that is neither free nor completed.
WRONG_TEXTS = {
    "backfill": [
        "2018-01-01",
        "2018-13-01..2018-01-02",
        "2018-01-02..2018-01-01",
        "x..y",
        "..",
        "\uff12\uff10\uff11\uff18-01-01..2018-01-02",
    ],
    "as_of": ["yesterday", "2018-02-30", "18-01-01", "20180101", "\uff12\uff10\uff11\uff18-01-01"],
    "to": ["latest", "1", "run-1", "../x"],
    "new name": ["fx_rates", "", "1x", "A", "a-b", "../x", "a b", "[red]", "x" * 64],
    "out_file": ["rows.xlsx", "rows", "/nowhere/rows.csv", "/", ""],
    "who": ["", "nobody", "shop", "shop:", "store:5", ":5", "G" * 32],
    "secret_file": ["/nowhere/secret.json", "/proc/self/mem", "/"],
}
CALLED: list[str] = []


def commands() -> dict[str, Any]:
    """Every command, by how it is called."""

    def walk(command: Any, called: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                yield from walk(inner, (*called, name))
        else:
            yield " ".join(called), command

    return dict(walk(typer.main.get_command(cli.command_line()), ()))


COMMANDS = commands()
PARAMETERS = [(called, p.name) for called, command in COMMANDS.items() for p in command.params if p.name not in FREE]


def parameter(called: str, name: str) -> Any:
    return next(p for p in COMMANDS[called].params if p.name == name)


def arguments(called: str, name: str, value: str) -> list[str]:
    """A call with one wrong value, and good ones for whatever else is needed."""
    given_ = called.split()
    for p in COMMANDS[called].params:
        told = value if p.name == name else GOOD[p.name] if p.required else None
        if told is None:
            continue
        if p.param_type_name == "argument":
            given_.append(told)
        else:
            # A flag takes no value at all.
            given_.append(f"{p.opts[0]}={told}")
    return given_


def wrong(called: str, name: str) -> st.SearchStrategy[str]:
    """Values that a parameter does not take."""
    p = parameter(called, name)
    kind = p.type_descriptor.annotation
    if kind is bool:
        return st.sampled_from(["maybe", "2", "", "[red]"])
    if kind is int:
        return st.sampled_from(["x", "1.5", "", "99999999999999999999x", "0x1"] + (["0", "-1"] if p.min == 1 else []))
    if texts := WRONG_TEXTS.get(f"{called.rpartition(' ')[2]} {name}", WRONG_TEXTS.get(name)):
        return st.sampled_from(texts)
    return st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12).filter(
        lambda text: not text.startswith("-") and text.lower() not in KNOWN
    )


KNOWN = {
    *("local", "dev", "staging", "prod", "extract", "check", "silver", "gold", "load", "athena", "redshift"),
    *("http", "jdbc", "snowflake", "kafka", "files", "kinesis"),
    *environments.project_of("dev").sources,
    *environments.project_of("dev").tables,
    *environments.project_of("dev").gold,
}


def unreached(*asked: object, **_: object) -> NoReturn:
    CALLED.append(str(asked))
    raise AssertionError(f"reached {asked}")


@pytest.fixture(autouse=True, scope="module")
def nothing_to_reach(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever a command could reach notes that it was."""
    with pytest.MonkeyPatch.context() as patch:
        # A stack that ran in this checkout may have been one of some sources.
        patch.setenv("HEADWATER_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(boto3, "client", unreached)
        for name in ("require_own", "up", "down", "deploy", "advance", "clock", "use", "endpoints"):
            patch.setattr(Stack, name, unreached)
        # Reading config/ takes longer than all the rest.
        for module in (environments, choices, stack):
            patch.setattr(module, "load_project", cache(load_project))
        patch.setattr(sys, "path", [*sys.path])
        yield


def refused(given_: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[object, str]:
    CALLED.clear()
    before, sys.argv = sys.argv, ["headwater", *given_]
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = before
    return ended.value.code, capfd.readouterr().err


@pytest.mark.parametrize(("called", "name"), PARAMETERS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_wrong_value_is_refused_in_one_line_before_anything_is_reached(
    called: str, name: str, capfd: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    given_ = arguments(called, name, data.draw(wrong(called, name)))
    code, said = refused(given_, capfd)
    assert code in {1, 2}, (given_, said)
    assert 1 <= said.count("\n") <= 3, (given_, said)
    assert "Traceback" not in said
    assert CALLED == [], (given_, said)


def test_every_command_is_among_them() -> None:
    assert {"run", "maintain", "query", "release", "quarantine replay", "source check", "local advance"} <= set(
        COMMANDS
    )
    assert len(PARAMETERS) > 50


@pytest.mark.parametrize("called", COMMANDS)
def test_no_flag_is_shown_as_if_it_took_a_value(called: str, capfd: pytest.CaptureFixture[str]) -> None:
    before, sys.argv = sys.argv, ["headwater", *called.split(), "--help"]
    try:
        with pytest.raises(SystemExit, match="0"):
            cli.main()
    finally:
        sys.argv = before
    assert "<bool>" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("given_", "known"),
    [
        (["run", "--source", "nope"], "facebook_ads"),
        (["run", "--start-from", "nope"], "Extract, Check, Silver, Gold, Load"),
        (["rewind", "nope"], "facebook_ads"),
        (["release", "fx_rates.nope", "1", "--reason", "x"], "rates"),
        (["release", "nope.rates", "1", "--reason", "x"], "facebook_ads"),
        (["quarantine", "list", "--table", "nope"], "order_items"),
        (["quarantine", "replay", "nope", "1"], "fx_rates"),
        (["query", "--engine", "hive", "SELECT 1"], "athena, redshift"),
        (["query", "--out", "rows.csv", "SELECT 1"], "--engine athena"),
        (["query", "--engine", "athena", "--out", "rows.xlsx", "SELECT 1"], ".parquet or .csv"),
        (["query", "--engine", "athena", "--out", "/nowhere/rows.csv", "SELECT 1"], "is its folder there"),
        (["status", "--env", "nope"], "dev, local, prod, staging"),
        (["source", "check", "nope"], "fx_rates"),
        (["source", "preview", "fx_rates.nope"], "rates"),
        (["source", "new", "x", "--kind", "soap"], "http, jdbc"),
        (["run", "--backfill", "2018-01-01..2018-01-02", "--source", "kinesis"], "kinesis"),
    ],
)
def test_what_is_known_is_said(given_: list[str], known: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, said = refused(given_, capfd)
    assert code in {1, 2}
    assert known in said


def test_a_stage_and_an_engine_are_known_in_any_case(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError, match="reached"):
        refused(["run", "--start-from", "eXtract"], capfd)
    with pytest.raises(AssertionError, match="reached"):
        refused(["query", "--engine", "ATHENA", "SELECT 1"], capfd)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("headwater run --source fx", {"fx_rates"}),
        ("headwater run --env ", {"local", "dev", "staging", "prod"}),
        ("headwater run --start-from S", {"Silver"}),
        ("headwater query --engine a", {"athena"}),
        ("headwater release fx", {"fx_rates.rates"}),
        ("headwater quarantine list --table fx", {"fx_rates"}),
        ("headwater source new x --kind k", {"kafka", "kinesis"}),
        ("headwater source check fx", {"fx_rates"}),
    ],
)
def test_a_shell_is_offered_the_known_values(
    words: str, offered: set[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_HEADWATER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    monkeypatch.setattr(sys, "argv", ["headwater"])
    with pytest.raises(SystemExit):
        cli.main()
    assert set(capfd.readouterr().out.split()) == offered


def test_a_region_is_the_environments_whatever_the_profile_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    environments.reach("dev")
    assert os.environ["AWS_DEFAULT_REGION"] == environments.environment_of("dev").region


def test_a_stack_that_is_up_does_not_change_its_sources(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Stack, "is_up", lambda _: True)
    code, said = refused(["up", "--source", "fx_rates"], capfd)
    assert (code, CALLED) == (2, [])
    assert said.startswith("ConfigError: the local stack is up with other sources. hint: headwater down")
