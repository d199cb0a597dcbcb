"""Two runs that are started at once: both end well, one waits for the other, and no row is there twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headwater.client import Client, run_input

from .pipeline import Pipeline, own_stack

SOURCE = "fx_rates"
LOOK_SECONDS = 0.1


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with own_stack(tmp_path_factory.mktemp("overlap"), 10, frozenset({SOURCE})) as stack:
        stack.deploy()
        yield Pipeline(stack, Client(stack.deployment()))


def start(pipeline: Pipeline, first: str = "Extract") -> str:
    return pipeline.client.start(run_input((SOURCE,), None, None, pipeline.stack.clock()), first)
