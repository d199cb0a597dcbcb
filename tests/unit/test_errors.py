"""The tree of errors."""

from __future__ import annotations

import inspect

from headwater import errors


def drawn() -> dict[str, str]:
    """The parent of each error, as the module's docstring draws it."""
    parents: dict[str, str] = {}
    above = ["HeadwaterError"]
    for line in (errors.__doc__ or "").splitlines():
        marks, _, rest = line.partition("── ")
        if rest:
            depth = len(marks) // 4 + 1
            name = rest.split()[0]
            parents[name] = above[depth - 1]
            above[depth:] = [name]
    return parents


def test_the_tree_on_top_of_the_module_is_the_tree_of_its_classes() -> None:
    classes = [found for _, found in inspect.getmembers(errors, inspect.isclass) if found.__module__ == errors.__name__]
    real = {found.__name__: found.__bases__[0].__name__ for found in classes if found is not errors.HeadwaterError}
    assert drawn() == real


def test_each_group_says_who_acts_and_none_is_part_of_another() -> None:
    groups = (errors.RetriableSourceError, errors.HandledSourceError, errors.FatalSourceError)
    for group in groups:
        assert not any(issubclass(group, other) for other in groups if other is not group)
