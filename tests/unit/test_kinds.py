"""The table of source kinds."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

from headwater.config import AnySource, Project, SourceBase, Stream
from headwater.sources.kinds import KINDS, kind_of
from tests.terraform import every_kind


def test_the_table_has_a_line_for_each_model_of_a_source() -> None:
    assert {kind.model for kind in KINDS.values()} == set(get_args(AnySource))


def test_the_union_of_streams_holds_the_streams_of_each_model() -> None:
    streams = {get_args(model.model_fields["streams"].annotation)[1] for model in get_args(AnySource)}
    assert set(get_args(Stream)) == streams


def test_the_project_with_every_kind_has_a_source_of_each() -> None:
    assert {source["kind"] for source in every_kind.sources().values()} == set(KINDS)


def test_a_kind_stands_under_the_name_that_its_model_gives_it() -> None:
    assert {name: get_args(kind.model.model_fields["kind"].annotation) for name, kind in KINDS.items()} == {
        name: (name,) for name in KINDS
    }


def test_each_declared_source_is_of_the_model_of_its_kind(project: Project) -> None:
    for source in project.sources.values():
        assert isinstance(source, kind_of(source).model)


def test_only_what_comes_in_by_itself_has_no_reader() -> None:
    assert [name for name, kind in KINDS.items() if kind.read is None] == ["kinesis"]
    assert all(kind.received for kind in KINDS.values() if kind.read is None)


def test_an_environment_changes_only_fields_that_a_source_has(project: Project) -> None:
    for source in project.sources.values():
        assert isinstance(source, SourceBase)
        changed = source.overridden({"base_url": "http://127.0.0.1:1/v9", "window_seconds": 7})
        assert type(changed).model_validate(changed.model_dump(by_alias=True)).name == source.name
        assert ("http://127.0.0.1:1/v9" in changed.model_dump_json()) == (source.kind == "http")


def test_the_table_loads_no_reader() -> None:
    """A Lambda has neither pyspark nor Snowflake's connector, and a worker needs but one of them."""
    heavy = "{'pyspark', 'awsglue', 'snowflake', 'pyarrow', 'cryptography'}"
    code = f"import sys; import headwater.sources.kinds; print({heavy} & {{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
