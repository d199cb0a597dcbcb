"""The bill of materials: every package and jar that is locked, with its hashes, as CycloneDX: `python -m tests.scanners.sbom FILE`.

What is deployed has the scope `required`, all else `excluded`: what Glue brings, the local stack, and what developers use.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from headwater.deploy.job_arguments import jars
from headwater.deploy.packages import LAMBDA_NEEDS_TOO, glue_modules, lambda_modules
from headwater.deploy.project import load_project
from tests.scanners.check import LOCKS
from tests.support.paths import ROOT

JARS = ROOT / "jars.lock"
_SCHEMA = SchemaVersion.V1_6
_PACKAGE = re.compile(r"^([a-z0-9.-]+)==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE)
# Of what was resolved alone, the file's name has no group.
_JAR = re.compile(
    r"(?P<sha256>[0-9a-f]{64})  (?P<file>(?:(?P<group>[^_\s]+\.[^_\s]+)_)?(?P<artifact>.+?)-(?P<version>v?\d+\..+|\d\S*)\.jar)"
)


def bom() -> Bom:
    """Lists what the locks name, each version once."""
    components: dict[str, Component] = {}
    for component in (*_packages(), *_jars()):
        components.setdefault(str(component.purl), component)
    return Bom(components=components.values())


def written(bill: Bom) -> str:
    """Writes a bill as JSON; ValueError when CycloneDX's own schema refuses it."""
    text: str = make_outputter(bill, OutputFormat.JSON, _SCHEMA).output_as_string(indent=1)
    wrong = JsonStrictValidator(_SCHEMA).validate_str(text)
    if wrong is not None:
        raise ValueError(str(wrong))
    return text


def _packages() -> Iterator[Component]:
    deployed = {*glue_modules(), *lambda_modules(), *(name for f in LAMBDA_NEEDS_TOO for name in lambda_modules(f))}
    for lock in LOCKS:
        for name, version, hashes in _PACKAGE.findall((ROOT / lock).read_text()):
            known = [HashType(alg=HashAlgorithm.SHA_256, content=text) for text in re.findall(r"=sha256:(\S+)", hashes)]
            url = XsUri(f"https://pypi.org/project/{name}/{version}/")
            is_deployed = lock == LOCKS[0] and name in deployed
            yield Component(
                name=name,
                version=version,
                type=ComponentType.LIBRARY,
                scope=ComponentScope.REQUIRED if is_deployed else ComponentScope.EXCLUDED,
                purl=PackageURL("pypi", name=name, version=version),
                bom_ref=f"{name}=={version}",
                external_references=[ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=url, hashes=known)],
            )


def _jars() -> Iterator[Component]:
    deployed = tuple(jars(load_project(ROOT, "prod")))
    for found in _JAR.finditer(JARS.read_text()):
        yield Component(
            name=found["artifact"],
            group=found["group"],
            version=found["version"],
            type=ComponentType.LIBRARY,
            scope=ComponentScope.REQUIRED if found["file"].endswith(deployed) else ComponentScope.EXCLUDED,
            purl=PackageURL(
                "maven" if found["group"] else "generic", found["group"], found["artifact"], found["version"]
            ),
            bom_ref=found["file"],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=found["sha256"])],
        )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(written(bom()))
    print(f"{len(bom().components)} packages and jars: {target}")  # noqa: T201
