"""What is reviewed is applied: the workflows hand one plan from the job that makes it to the one that carries it out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"


def workflow(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())
    return read


def steps(job: dict[str, Any], uses: str = "", run: str = "") -> list[dict[str, Any]]:
    return [
        step
        for step in job["steps"]
        if (uses and step.get("uses", "").startswith(uses + "@")) or (run and run in step.get("run", ""))
    ]


PLAN = workflow("plan")["jobs"]["plan"]
APPLY = workflow("apply")["jobs"]


def test_the_plan_that_was_made_is_the_one_that_is_applied() -> None:
    assert APPLY["plan"]["uses"] == "./.github/workflows/plan.yml"
    assert APPLY["apply"]["needs"] == "plan"
    [kept] = steps(PLAN, uses="actions/upload-artifact")
    [taken] = steps(APPLY["apply"], uses="actions/download-artifact")
    assert taken["with"]["name"] == kept["with"]["name"] == "plan-${{ matrix.environment }}"
    assert kept["with"]["path"].splitlines() == ["build/packages", "terraform/${{ matrix.environment }}.tfplan"]
    assert PLAN["strategy"]["matrix"] == APPLY["apply"]["strategy"]["matrix"]


def test_nothing_is_planned_or_packed_anew_once_it_was_approved() -> None:
    ran = [step["run"] for step in APPLY["apply"]["steps"] if "run" in step]
    assert ran == ["make apply"]
    wanted = subprocess.run(["make", "-n", "apply"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "headwater.deploy.packages" not in wanted
    assert not re.search(r"terraform\S* plan", wanted.replace("terraform/dev.tfplan", ""))


def test_who_approves_sees_the_plan() -> None:
    assert APPLY["apply"]["environment"] == "${{ matrix.environment }}"
    [shown] = steps(PLAN, run="terraform -chdir=terraform show")
    assert "GITHUB_STEP_SUMMARY" in shown["run"]


def test_a_plan_is_made_by_the_role_that_may_only_look() -> None:
    for name, job in {"PLAN": PLAN, "APPLY": APPLY["apply"]}.items():
        [signed_in] = steps(job, uses="aws-actions/configure-aws-credentials")
        role = f"vars[format('AWS_{name}_ROLE_{{0}}', matrix.environment)]"
        assert signed_in["with"]["role-to-assume"] == f"${{{{ {role} }}}}"


def test_both_take_the_providers_that_are_locked() -> None:
    assert {job["env"]["TF_CLI_ARGS_init"] for job in (PLAN, APPLY["apply"])} == {"-lockfile=readonly"}
    assert "providers lock" in (WORKFLOWS / "lock.yml").read_text()


def test_only_the_jobs_that_speak_to_aws_may_ask_for_its_credentials() -> None:
    for path in WORKFLOWS.glob("*.yml"):
        assert workflow(path.stem)["permissions"] == {}, path.name
    assert workflow("check")["jobs"]["check"]["permissions"] == {"contents": "read"}


JOB = "name: a\non: push\npermissions: {}\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - "
BAD = {
    "an action that its owner may move": "uses: a/b@v1\n",
    "a value that is not there": "run: echo ${{ matrix.a }}\n",
}


@pytest.mark.parametrize("step", BAD.values(), ids=BAD.keys())
def test_the_check_finds(step: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text(JOB + step)
    command = [ROOT / "tests" / "workflows" / "check", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "skipped" in done.stdout:
        pytest.skip(done.stdout)
    assert done.returncode != 0
