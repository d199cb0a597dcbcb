"""One local stack with every source: its story is told once, and then tests move the world on or do bad things to it.

Another is small: modules deploy environments of their own there.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import world
from local.stack import Stack

from .pipeline import Faults, Pipeline, own_stack
from .story import HOUSEHOLDS, Story, told


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The whole pipeline over every source, told once for all who ask what came of it: it costs minutes."""
    with told(tmp_path_factory.mktemp("stack")) as story:
        yield story


@pytest.fixture(scope="session")
def pipeline(story: Story) -> Pipeline:
    """The whole pipeline, which has taken in all that has happened."""
    return story.pipeline


@pytest.fixture(scope="session")
def stack(story: Story) -> Stack:
    return story.pipeline.stack


@pytest.fixture(scope="session")
def small_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of two sources: whose workers are killed often, and what changes its API, should keep nobody else waiting."""
    sources = frozenset({"clevertap", "rds_postgres"})
    with own_stack(tmp_path_factory.mktemp("small"), HOUSEHOLDS, sources) as stack:
        yield stack


@pytest.fixture
def moved_on(stack: Stack) -> world.Truth:
    """The shop, its ads and the exchange rates, one day later; the entrances' data waits."""
    return world.advance(stack.rds_dsn, 1, 11)


@pytest.fixture
def faults(stack: Stack) -> Iterator[Faults]:
    faults = Faults(stack)
    yield faults
    faults.clear()
