"""Who is whom, worked out by plain Python: a model of what headwater/stages/linked.py says in joins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from headwater.config.identities import Link

LINKS = (Link(by="number", shareable=True), Link(by="ticket", shareable=True), Link(by="email"), Link(by="phone"))
"""A person has one number; of the other links the strongest comes first."""


@dataclass(frozen=True, order=True)
class Record:
    """One record; the least of a person's is the one that was there first."""

    since: str
    source: str
    record_id: str
    values: Mapping[str, str] = field(default_factory=dict, compare=False, hash=False)


Groups = dict[Record, Record]
"""The least record of each record's group."""


def groups(records: Collection[Record], links: Iterable[Link] = LINKS) -> Groups:
    """Joins records link by link."""
    links = list(links)
    found: Groups = {record: record for record in records}
    for link in links:
        found = _joined(found, link, links[0].by)
    return found


def _joined(found: Groups, link: Link, one: str) -> Groups:
    ones = {root: _ones((r for r in found if found[r] == root), one) for root in found.values()}
    parent = {root: root for root in found.values()}

    def top(root: Record) -> Record:
        while parent[root] != root:
            root = parent[root]
        return root

    bearers: dict[str, set[Record]] = defaultdict(set)
    for record in found:
        if link.by in record.values:
            bearers[record.values[link.by]].add(record)
    for have in bearers.values():
        persons = {found[record] for record in have}
        by_source = defaultdict(set)
        for record in have:
            by_source[record.source].add(found[record])
        shared = not link.shareable and any(len(of_one) > 1 for of_one in by_source.values())
        if shared or len(set().union(*(ones[root] for root in persons))) > 1:
            continue
        for root in persons:
            low, high = sorted((top(root), top(min(persons))))
            parent[high] = low
    whole: dict[Record, set[Record]] = defaultdict(set)
    for root in parent:
        whole[top(root)].add(root)
    torn = {root for root, parts in whole.items() if len(set().union(*(ones[part] for part in parts))) > 1}
    return {record: root if top(root) in torn else top(root) for record, root in found.items()}


def _ones(records: Iterable[Record], one: str) -> set[str]:
    return {record.values[one] for record in records if one in record.values}
