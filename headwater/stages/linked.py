"""Which records are of one person: groups of records that have values in common, link by link, the strongest first.

Everything is computed over all records by joins and aggregates, since whether a value is shared is a statement about all of them. So
the same records make the same persons, whatever was there before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from headwater.config.identities import Identities, Link, Member, current
from headwater.config.table import Table
from headwater.quality.conformed import BLANKS

# Before any person that is told of by a record with a time.
_NEVER = "9999-12-31T23:59:59.999999"


def records(declared: Identities, tables: Mapping[str, Table], rows: Mapping[str, DataFrame]) -> DataFrame:
    """The records of all members whose rows are there: source, record_id, what makes it the first, and its values by link."""
    links = [link.by for link in declared.links]
    told = [
        _records(name, member, links, tables[member.table], rows[member.table])
        for name, member in declared.members.items()
        if member.table in rows
    ]
    return reduce(DataFrame.unionByName, told)


def _records(name: str, member: Member, links: list[str], table: Table, rows: DataFrame) -> DataFrame:
    *before, last = [F.col(f"`{column}`").cast("string") for column in table.key]
    # What a colon separates has none.
    parts = [F.regexp_replace(F.regexp_replace(part, "%", "%25"), ":", "%3A") for part in before]
    record = F.concat_ws(":", *parts, last)
    since = F.coalesce(
        F.date_format(F.expr(member.since).cast("timestamp"), "yyyy-MM-dd'T'HH:mm:ss.SSSSSS"), F.lit(_NEVER)
    )
    values = [_value(member.values.get(link)).alias(link) for link in links]
    counting = rows.where(current(table)).where(member.where or "true")
    return counting.select(
        F.lit(name).alias("source"),
        record.alias("record_id"),
        F.concat_ws("|", since, F.lit(name), record).alias("first"),
        F.struct(*values).alias("values"),
    )


def _value(expression: str | None) -> Column:
    """A value that may link, as text; a blank one is none."""
    text = F.lit(None).cast("string") if expression is None else F.expr(expression).cast("string")
    bare = F.regexp_replace(text, rf"^{BLANKS}|{BLANKS}\z", "")
    return F.when(bare != "", bare)


def linked(found: DataFrame, links: tuple[Link, ...]) -> DataFrame:
    """Gives each record its person, and says by which values it is linked, and which of those that others have too link nobody."""
    known = found.select("source", "record_id", "values", F.col("first").alias("_group")).localCheckpoint(eager=False)
    one = links[0].by
    kept: list[DataFrame] = []
    for link in links:
        known, told = _joined(known, link, one)
        kept.append(told)
    evidence = reduce(DataFrame.unionByName, kept)
    # Of the time by which it was the first nothing goes into the id.
    person = F.substring(F.sha2(F.regexp_replace("_group", r"^[^|]*\|", ""), 256), 1, 32)
    return known.join(_told(evidence, known), ["source", "record_id"], "left").select(
        "source", "record_id", person.alias("person_id"), "linked_by", "left_out"
    )


def _joined(known: DataFrame, link: Link, one: str) -> tuple[DataFrame, DataFrame]:
    """Joins the groups that have a value in common by one link; tells what became of each record's value."""
    value = F.col("values")[link.by].alias("_value")
    identity = F.col("values")[one]
    # Of the first link a person has one value: two that differ there are two.
    known = known.withColumn("_one", F.max(identity).over(_by("_group")))
    bearers = known.where(F.col("values")[link.by].isNotNull()).select("source", "record_id", "_group", "_one", value)
    shared = F.lit(False) if link.shareable else F.max(_differs("_group", "_value", "source")).over(_by("_value"))
    why = F.when(_differs("_one", "_value"), f"more than one {one}").when(shared, "shared")
    bearers = bearers.withColumns({"_others": _differs("_group", "_value"), "_why": why}).localCheckpoint(eager=False)
    edges = bearers.where("_why IS NULL AND _others").select("_group", "_value").distinct().localCheckpoint()
    said = F.concat_ws(" ", F.lit(link.by), "_value").alias("_said")
    if edges.isEmpty():
        why_not = F.when(F.col("_others"), F.col("_why")).alias("_why")
        return known.drop("_one"), bearers.select("source", "record_id", said, why_not)
    roots = _roots(edges)
    ones = known.where("_one IS NOT NULL").select("_group", "_one").distinct()
    # Through a third one, two may meet that have been told apart: those stay as they were.
    apart = (
        roots.join(ones, "_group")
        .groupBy("_root")
        .agg(F.count_distinct("_one").alias("_ones"))
        .where("_ones > 1")
        .select("_root", F.lit(True).alias("_apart"))
    )
    roots = roots.join(apart, "_root", "left").localCheckpoint(eager=False)
    moved = roots.where("_apart IS NULL").select("_group", "_root")
    joined = (
        known.drop("_one")
        .join(moved, "_group", "left")
        .select("source", "record_id", "values", F.coalesce("_root", "_group").alias("_group"))
        .localCheckpoint(eager=False)
    )
    torn = roots.where("_apart").select("_group", F.lit(f"would join more than one {one}").alias("_torn"))
    told = bearers.join(torn, "_group", "left").select(
        "source", "record_id", said, F.when(F.col("_others"), F.coalesce("_why", "_torn")).alias("_why")
    )
    return joined, told


def _roots(edges: DataFrame) -> DataFrame:
    """The least group that each group is connected to by values, directly or through others.

    A round takes the least of a value's groups and of a group's values, and then that one's own: what is far away is
    reached in as many rounds as its distance has digits in base two.
    """
    reached = edges.withColumn("_root", F.col("_group"))
    while True:
        of_value = reached.withColumn("_root", F.min("_root").over(_by("_value")))
        of_group = of_value.withColumn("_root", F.min("_root").over(_by("_group")))
        further = of_group.select(F.col("_group").alias("_root"), F.col("_root").alias("_further")).distinct()
        reached = of_group.join(further, "_root", "left").select(
            "_group", "_value", F.coalesce("_further", "_root").alias("_root")
        )
        reached = reached.withColumn(
            "_moves", _differs("_root", "_value") | _differs("_root", "_group")
        ).localCheckpoint()
        if reached.where("_moves").isEmpty():
            return reached.select("_group", "_root").distinct()
        reached = reached.drop("_moves")


def _by(*columns: str) -> WindowSpec:
    return Window.partitionBy(*columns)


def _differs(column: str, *by: str) -> Column:
    """Whether a column has more than one value among the rows that have others in common."""
    return F.coalesce(F.min(column).over(_by(*by)) != F.max(column).over(_by(*by)), F.lit(False))


def _told(evidence: DataFrame, known: DataFrame) -> DataFrame:
    """By record, the values that it has in common with another record of its person, and those that link nobody."""
    placed = evidence.join(known.select("source", "record_id", "_group"), ["source", "record_id"])
    together = F.count("*").over(_by("_group", "_said")) > 1
    said = placed.withColumn("_together", together)
    links = F.collect_list(F.when(F.col("_together") & F.col("_why").isNull(), F.col("_said")))
    nobody = F.collect_list(F.when(F.col("_why").isNotNull(), F.concat_ws(": ", "_said", "_why")))
    listed = [
        F.when(F.size(values) > 0, F.array_sort(values)).alias(name)
        for name, values in (("linked_by", links), ("left_out", nobody))
    ]
    return said.groupBy("source", "record_id").agg(*listed)


def history(there: DataFrame, now: DataFrame, moment: Column) -> DataFrame:
    """What a table of who was whom becomes by who is whom now: who is somebody else since begins a new row, and ends the old one."""
    ended = there.where("NOT is_current")
    key = ["source", "record_id"]
    before = there.where("is_current").select(*key, *[F.col(name).alias(f"_{name}") for name in _TOLD])
    both = before.join(now.withColumn("_now", F.lit(True)), key, "full_outer")
    goes_on = F.col("person_id").eqNullSafe(F.col("_person_id"))
    since = F.when(goes_on, F.col("_valid_from")).otherwise(moment)
    begun = both.where("_now").select(
        *key, "person_id", "linked_by", "left_out", since.alias("valid_from"), *_until(F.lit(None).cast("timestamp"))
    )
    over = both.where(F.col("_person_id").isNotNull() & ~goes_on).select(
        *key, *[F.col(f"_{name}").alias(name) for name in _TOLD], *_until(moment)
    )
    return ended.select(*begun.columns).unionByName(over).unionByName(begun)


_TOLD = ("person_id", "linked_by", "left_out", "valid_from")


def _until(moment: Column) -> Iterator[Column]:
    yield moment.alias("valid_to")
    yield moment.isNull().alias("is_current")
