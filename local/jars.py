"""Jars from Maven through Spark's own resolver, for programs beside Spark that must not share its class path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headwater.errors import HeadwaterError
from local.glue.spark import ivy_folder

KAFKA = ("org.apache.kafka:kafka_2.13:3.9.0", "org.slf4j:slf4j-reload4j:1.7.36")

_WARNINGS = 1  # Ivy's Message.MSG_WARN


def class_path(name: str, packages: tuple[str, ...]) -> list[Path]:
    """Finds the jars of some Maven coordinates and of all they need; resolved once and remembered under `name`."""
    remembered = ivy_folder() / f"resolved-{name}.json"
    if remembered.exists():
        known = json.loads(remembered.read_text())
        jars = [Path(jar) for jar in known["jars"]]
        if known["packages"] == list(packages) and all(jar.exists() for jar in jars):
            return jars
    jars = _resolve(packages)
    remembered.write_text(json.dumps({"packages": packages, "jars": [str(jar) for jar in jars]}))
    return jars


def _resolve(packages: tuple[str, ...]) -> list[Path]:
    """Asks Ivy as Spark sets it up, but not through Spark, which leaves out the Scala library that it has itself."""
    # Only the first start of all needs it, and every command of the CLI would wait for it.
    from pyspark.java_gateway import launch_gateway  # noqa: PLC0415

    ivy_folder().mkdir(parents=True, exist_ok=True)
    gateway: Any = launch_gateway()  # type: ignore[no-untyped-call]
    try:
        jvm = gateway.jvm
        nothing, folder = jvm.scala.Option.empty(), jvm.scala.Option.apply(str(ivy_folder()))
        settings = jvm.org.apache.spark.deploy.SparkSubmitUtils.buildIvySettings(nothing, folder, True)
        ivy = jvm.org.apache.ivy.Ivy.newInstance(settings)
        ivy.getLoggerEngine().setDefaultLogger(jvm.org.apache.ivy.util.DefaultMessageLogger(_WARNINGS))
        options = jvm.org.apache.ivy.core.resolve.ResolveOptions()
        confs = gateway.new_array(jvm.java.lang.String, 1)
        confs[0] = "default"
        options.setConfs(confs)
        jars: dict[str, None] = {}
        for package in packages:
            wanted = jvm.org.apache.ivy.core.module.id.ModuleRevisionId.newInstance(*package.split(":"))
            report = ivy.resolve(wanted, options, True)
            if report.hasError():
                raise HeadwaterError(f"{package} cannot be resolved. hint: is Maven Central or its mirror in reach?")
            for artifact in report.getAllArtifactsReports():
                jars[str(artifact.getLocalFile())] = None
        return [Path(jar) for jar in jars]
    finally:
        gateway.shutdown()
        # The JVM ends when its standard input does.
        gateway.proc.stdin.close()
        gateway.proc.wait()


if __name__ == "__main__":
    # Setup: resolves the jars, so that no start has to.
    class_path("kafka", KAFKA)
