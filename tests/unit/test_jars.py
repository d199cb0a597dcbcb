"""Jars are held against jars.lock: what was cut short is fetched again, what differs is refused, what is missing is looked for."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

from headwater.deploy import job_arguments
from local import ivy, jars
from local.jars import Bundle, JarError

BUNDLE = Bundle("some", ("org.some:thing:1.0",))


@dataclass
class Resolver:
    """Ivy as the jars see it: it has what it has, and fetches only what it has not."""

    folder: Path
    served: bytes = b"the jar"
    fetched: list[str] = field(default_factory=list)

    def alone(self, package: str) -> list[Path]:
        jar = self.folder / "cache" / "thing-1.0.jar"
        if not jar.exists():
            jar.parent.mkdir(parents=True, exist_ok=True)
            jar.write_bytes(self.served)
            self.fetched.append(package)
        return [jar]


@pytest.fixture
def resolver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver(tmp_path / "ivy")

    @contextmanager
    def started(folder: Path) -> Iterator[Resolver]:
        yield resolver

    monkeypatch.setattr(ivy, "started", started)
    monkeypatch.setenv("HEADWATER_IVY", str(resolver.folder))
    monkeypatch.setattr(jars, "LOCK", tmp_path / "jars.lock")
    jars.LOCK.write_text(f"{hashlib.sha256(b'the jar').hexdigest()}  thing-1.0.jar\n")
    return resolver


def test_a_jar_is_fetched_once_and_remembered(resolver: Resolver) -> None:
    first = jars.class_path(BUNDLE)
    assert jars.class_path(BUNDLE) == first == jars.remembered(BUNDLE)
    assert len(resolver.fetched) == 1
    assert jars.remembered(Bundle("some", ("org.some:thing:2.0",))) is None


def test_a_jar_that_has_gone_since_is_fetched_again(resolver: Resolver) -> None:
    [jar] = jars.class_path(BUNDLE)
    jar.unlink()
    assert jars.remembered(BUNDLE) is None
    assert jars.class_path(BUNDLE) == [jar]
    assert len(resolver.fetched) == 2


def test_a_jar_that_an_earlier_setup_left_cut_short_is_fetched_anew(resolver: Resolver) -> None:
    [jar] = resolver.alone("org.some:thing:1.0")
    jar.write_bytes(b"the j")
    assert jars.class_path(BUNDLE) == [jar]
    assert jar.read_bytes() == b"the jar"


def test_a_jar_with_another_hash_is_refused_and_not_remembered(resolver: Resolver) -> None:
    resolver.served = b"another jar"
    strange = hashlib.sha256(b"another jar").hexdigest()
    known = hashlib.sha256(b"the jar").hexdigest()
    with pytest.raises(JarError, match=rf"thing-1.0.jar is not the jar .*{strange}, not {known}.* hint: .*make lock"):
        jars.class_path(BUNDLE)
    assert jars.remembered(BUNDLE) is None
    resolver.served = b"the jar"
    assert jars.class_path(BUNDLE)


def test_a_jar_that_nobody_has_locked_is_refused(resolver: Resolver) -> None:
    jars.LOCK.write_text("")
    with pytest.raises(JarError, match="not any known one"):
        jars.class_path(BUNDLE)


def test_every_jar_that_this_checkout_uses_is_locked() -> None:
    locked = {line.split()[1] for line in jars.LOCK.read_text().splitlines()}
    used = {jar.name for bundle in (*jars.SPARK, jars.KAFKA) for jar in jars.class_path(bundle)}
    assert used <= locked
    assert len(locked - used) == 1, "of the others there is only MariaDB's"


def test_what_is_asked_for_is_locked_by_name_and_version() -> None:
    locked: Callable[[str], bool] = jars.LOCK.read_text().__contains__
    for bundle in jars.BUNDLES:
        for package in bundle.packages:
            assert locked(f"{'-'.join(package.split(':')[1:])}.jar"), package


def test_what_jobs_bring_is_what_setup_has_fetched() -> None:
    fetched = {jar.name for jar in jars.class_path(jars.JOBS)}
    assert fetched == {job_arguments.DEEQU_JAR, job_arguments.AVRO_JAR, job_arguments.MSK_JAR}


def test_what_jobs_bring_pushes_no_class_of_spark_or_delta_aside() -> None:
    spark = Path(str(find_spec("pyspark").origin)).parent / "jars"  # type: ignore[union-attr]
    theirs = classes([*spark.glob("*.jar"), *jars.class_path(jars.GLUE), *jars.class_path(jars.DELTA)])
    assert classes(jars.class_path(jars.JOBS)) & theirs == set()


def classes(paths: Iterable[Path]) -> set[str]:
    found = set()
    for path in paths:
        with zipfile.ZipFile(path) as jar:
            found |= {name for name in jar.namelist() if name.endswith(".class") and "META-INF" not in name}
    # Spark's build puts the second into every jar of its own.
    return found - {"module-info.class", "org/apache/spark/unused/UnusedStubClass.class"}
