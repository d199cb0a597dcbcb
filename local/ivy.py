"""Jars from Maven, by the Ivy that Spark brings and sets up: its repositories, its cache, its rules of what is newer."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from py4j.protocol import Py4JJavaError

from headwater.errors import HeadwaterError
from local import java

_WARNINGS = 1  # Ivy's Message.MSG_WARN
_AUTHORITY = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_STORE_PASSWORD = "changeit"  # noqa: S105 - Java's own default; the certificates are public


class IvyError(HeadwaterError):
    """A jar could not be found or fetched; the message says where the resolver's own words are."""


@dataclass(frozen=True)
class Ivy:
    """A running resolver; what it says goes into a log, since it says hundreds of lines."""

    jvm: Any
    gateway: Any
    settings: Any
    log: Path

    def beside_spark(self, packages: Sequence[str], excluded: Sequence[str]) -> list[Path]:
        """Finds what Spark would load for these packages: all that they need and Spark does not have itself."""
        spark = self.jvm.org.apache.spark.deploy.SparkSubmitUtils
        without = self.jvm.PythonUtils.toSeq(list(excluded))
        nothing = self.jvm.scala.Option.empty()
        with self._told(", ".join(packages)):
            found = spark.resolveMavenCoordinates(",".join(packages), self.settings, nothing, True, without, False)
        return [Path(found.apply(number)) for number in range(found.size())]

    def alone(self, package: str) -> list[Path]:
        """Finds a package and all that it needs, the Scala library included, which Spark would leave out."""
        wanted = self.jvm.org.apache.ivy.core.module.id.ModuleRevisionId.newInstance(*package.split(":"))
        return self._found(package, lambda ivy, options: ivy.resolve(wanted, options, True))

    def itself(self, package: str) -> Path:
        """Finds the jar of a package, and nothing that it needs."""
        wanted = self.jvm.org.apache.ivy.core.module.id.ModuleRevisionId.newInstance(*package.split(":"))
        [jar] = self._found(package, lambda ivy, options: ivy.resolve(wanted, options.setTransitive(False), True))
        return jar

    def _found(self, package: str, resolve: Callable[[Any, Any], Any]) -> list[Path]:
        """Lists the jars of what `resolve` finds with an Ivy and its options."""
        ivy = self.jvm.org.apache.ivy.Ivy.newInstance(self.settings)
        ivy.getLoggerEngine().setDefaultLogger(self.jvm.org.apache.ivy.util.DefaultMessageLogger(_WARNINGS))
        options = self.jvm.org.apache.ivy.core.resolve.ResolveOptions()
        confs = self.gateway.new_array(self.jvm.java.lang.String, 1)
        confs[0] = "default"
        options.setConfs(confs)
        with self._told(package):
            report = resolve(ivy, options)
            if report.hasError():
                raise self._error(package)
        return [Path(str(artifact.getLocalFile())) for artifact in report.getAllArtifactsReports()]

    @contextmanager
    def _told(self, packages: str) -> Iterator[None]:
        try:
            yield
        except Py4JJavaError as error:
            raise self._error(packages) from error

    def _error(self, packages: str) -> IvyError:
        return IvyError(
            f"{packages} cannot be fetched. hint: is Maven Central or its mirror in reach, and is there room on the disk? "
            f"The resolver's own words are in {self.log}. What has been fetched is kept: make setup goes on from there"
        )


@contextmanager
def started(folder: Path) -> Iterator[Ivy]:
    """Starts a resolver that keeps its cache in a folder."""
    # Only the first start of all needs it, and every command of the CLI would wait for it.
    from pyspark.java_gateway import launch_gateway  # noqa: PLC0415

    java.use()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "resolver.log"
    with log.open("wb") as out, TemporaryDirectory() as scratch:
        gateway: Any = launch_gateway(popen_kwargs={"stdout": out, "stderr": out})  # type: ignore[no-untyped-call]
        try:
            jvm = gateway.jvm
            _trust(gateway, Path(scratch) / "authorities.p12")
            jvm.py4j.GatewayServer.turnLoggingOff()
            spark = jvm.org.apache.spark.deploy.SparkSubmitUtils
            nothing, place = jvm.scala.Option.empty(), jvm.scala.Option.apply(str(folder))
            settings = spark.buildIvySettings(nothing, place, True)
            yield Ivy(jvm, gateway, settings, log)
        finally:
            gateway.shutdown()
            # The JVM ends when its standard input does.
            gateway.proc.stdin.close()
            gateway.proc.wait()


def _trust(gateway: Any, store: Path) -> None:
    """Makes Java trust the certificate authorities of SSL_CERT_FILE, as pip and uv do: a company's own may be among them.

    A distribution's Java shares the machine's authorities; the one in a wheel has a list of its own.
    """
    named = os.environ.get("SSL_CERT_FILE")
    if not named:
        return
    jvm = gateway.jvm
    # Between the certificates of a bundle there is text, over which Java stumbles.
    bundle = "\n".join(_AUTHORITY.findall(Path(named).read_text(errors="replace")))
    authorities = jvm.java.security.cert.CertificateFactory.getInstance("X.509").generateCertificates(
        jvm.java.io.ByteArrayInputStream(bundle.encode())
    )
    keys = jvm.java.security.KeyStore.getInstance("PKCS12")
    keys.load(None, None)
    for number, authority in enumerate(authorities):
        keys.setCertificateEntry(str(number), authority)
    password = gateway.new_array(jvm.char, len(_STORE_PASSWORD))
    for number, letter in enumerate(_STORE_PASSWORD):
        password[number] = letter
    file = jvm.java.io.FileOutputStream(str(store))
    keys.store(file, password)
    file.close()
    jvm.java.lang.System.setProperty("javax.net.ssl.trustStore", str(store))
    jvm.java.lang.System.setProperty("javax.net.ssl.trustStorePassword", _STORE_PASSWORD)
