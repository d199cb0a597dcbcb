"""Rules of our own for the Terraform code, where checkov's look elsewhere: its TLS rule sees bucket ACLs alone, and there are none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import hcl2
import pytest

from tests.support.paths import ROOT

FOLDERS = sorted({path.parent for path in (ROOT / "terraform").rglob("*.tf")})


def resources(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for path in sorted(folder.glob("*.tf")):
        for block in hcl2.loads(path.read_text()).get("resource", []):
            for kind, named in block.items():
                for name, body in named.items():
                    found[kind.strip('"'), name.strip('"')] = body
    return found


def open_buckets(folder: Path) -> list[str]:
    """Lists the buckets that no policy closes to connections without TLS, for the bucket and for its objects."""
    declared = resources(folder)
    closed = set()
    for (kind, _), body in declared.items():
        if kind != "aws_s3_bucket_policy":
            continue
        policy = re.sub(r"[\s\"\\]", "", str(body["policy"]))
        bucket = re.search(r"aws_s3_bucket\.(\w+)", f"{body.get('for_each', '')} {body['bucket']}")
        denies = "aws:SecureTransport" in policy and "Effect:Deny" in policy.replace("=", ":").replace("'", "")
        everything = re.search(r"Action[:=]s3:\*", policy.replace("'", "")) and "/*" in policy
        if bucket and denies and everything:
            closed.add(bucket[1])
    return [name for kind, name in declared if kind == "aws_s3_bucket" and name not in closed]


def test_every_bucket_refuses_connections_without_tls() -> None:
    buckets = [name for folder in FOLDERS for kind, name in resources(folder) if kind == "aws_s3_bucket"]
    assert len(buckets) >= 2
    assert {str(folder): open_buckets(folder) for folder in FOLDERS if open_buckets(folder)} == {}


BUCKET = 'resource "aws_s3_bucket" "this" {\n  bucket = "b"\n}\n'
POLICY = """
resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = jsonencode({ Statement = [{
    Effect = "%s", Action = "s3:*", Resource = [aws_s3_bucket.this.arn, "%s"],
    Condition = { Bool = { "aws:%s" = "false" } }
  }] })
}
"""
CLOSED = ("Deny", "${aws_s3_bucket.this.arn}/*", "SecureTransport")


def test_the_rule_accepts_a_closed_bucket(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(BUCKET + POLICY % CLOSED)
    assert open_buckets(tmp_path) == []


@pytest.mark.parametrize(
    "policy",
    [
        "",
        POLICY % ("Allow", *CLOSED[1:]),
        POLICY % ("Deny", "x", "SecureTransport"),
        POLICY % (*CLOSED[:2], "SourceAccount"),
        (POLICY % CLOSED).replace("aws_s3_bucket.this", "aws_s3_bucket.other"),
    ],
    ids=["no policy", "allows", "objects left out", "another condition", "another bucket"],
)
def test_the_rule_finds_an_open_bucket(policy: str, tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(BUCKET + policy)
    assert open_buckets(tmp_path) == ["this"]


def test_the_modules_need_one_provider_alone() -> None:
    sources = {
        source
        for folder in FOLDERS
        for path in folder.glob("*.tf")
        for source in re.findall(r'source\s*=\s*"([a-z0-9-]+/[a-z0-9-]+)"', path.read_text())
    }
    assert sources == {"hashicorp/aws"}


def test_every_folder_pins_the_same_provider() -> None:
    pins = {
        str(folder.relative_to(ROOT)): re.findall(r'\bversion\s*=\s*"([^"]+)"', text)
        for folder in FOLDERS
        for text in ["".join(path.read_text() for path in folder.glob("*.tf"))]
        if "required_providers" in text or re.search(r'^(resource|data) "aws_', text, re.MULTILINE)
    }
    assert len(pins) >= 13
    assert {folder: pin for folder, pin in pins.items() if pin != ["~> 6.0"]} == {}


def test_nothing_that_expires_or_runs_as_whoever_applies_is_a_resource() -> None:
    # The Data API forgets a statement after a day, and the next plan would run it again, as another user.
    made = {kind for folder in FOLDERS for kind, _ in resources(folder)}
    assert "aws_redshiftserverless_workgroup" in made
    assert "aws_redshiftdata_statement" not in made


def test_nothing_of_an_environment_is_said_by_hand() -> None:
    # What is said to one apply on its command line, the next one forgets.
    declared = hcl2.loads((ROOT / "terraform" / "variables.tf").read_text())["variable"]
    assert [name.strip('"') for block in declared for name in block] == ["environment", "glue_version"]


def test_what_aws_or_a_run_completes_is_no_difference() -> None:
    kept = {
        kind.removeprefix("aws_"): [str(name).strip("${}") for name in lifecycle.get("ignore_changes", [])]
        for folder in FOLDERS
        for (kind, _), body in resources(folder).items()
        for lifecycle in body.get("lifecycle", [])
    }
    assert kept["redshiftserverless_workgroup"] == ["config_parameter"]
    assert kept["glue_crawler"] == ["delta_target"]


def test_no_resource_is_counted() -> None:
    # A counted resource moves when another goes; one with a key stays.
    counted = [key for folder in FOLDERS for key, body in resources(folder).items() if "count" in body]
    assert counted == []


def test_every_check_that_is_skipped_says_why() -> None:
    skips = [
        (path.name, line.strip())
        for path in (ROOT / "terraform").rglob("*.tf")
        for line in path.read_text().splitlines()
        if "checkov:skip" in line
    ]
    assert skips
    assert [skip for skip in skips if not re.search(r"checkov:skip=CKV2?_AWS_\d+: \w.{20,}", skip[1])] == []


def unsorted_permissions(folder: Path) -> list[str]:
    """Lists the grants of Lake Formation whose permissions are not in the order in which it tells them again."""
    named = ("permissions", "permissions_with_grant_option")
    return [
        name
        for (kind, name), body in resources(folder).items()
        if kind == "aws_lakeformation_permissions"
        and any(body[key] != sorted(body[key]) for key in named if isinstance(body.get(key), list))
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_permissions_stand_in_the_order_in_which_they_are_read_again(folder: Path) -> None:
    assert unsorted_permissions(folder) == []


def test_permissions_in_another_order_are_found(tmp_path: Path) -> None:
    grant = 'resource "aws_lakeformation_permissions" "odd" {\n  permissions = ["SELECT", "DESCRIBE"]\n}\n'
    (tmp_path / "grants.tf").write_text(grant)
    assert unsorted_permissions(tmp_path) == ["odd"]
