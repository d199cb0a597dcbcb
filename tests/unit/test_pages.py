"""Generated pages: what a Terraform folder's README says, and that a stale page is reported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.deploy.module_pages import module_pages
from headwater.deploy.pages import main
from tests.support.paths import ROOT

VARIABLES = """
variable "prefix" {
  description = "What starts every | name."
  type        = string
}

variable "queues" {
  description = "The queues by name."
  type = map(object({
    retention_seconds = optional(number, 345600)
    tags              = optional(map(string), {})
    from              = optional(object({ stream = string }))
  }))
  default = {}
}

variable "network" {
  type    = object({ vpc = string })
  default = null
}
"""
QUEUES = """# Records that wait, of <source>.
# And dead letters.
resource "aws_sqs_queue" "this" {
  name = "a"
}
"""
README = """# ingress

Generated from the .tf files by `make docs`; edit those, not this page.

| file | what is there |
|---|---|
| `queues.tf` | Records that wait, of &lt;source>. And dead letters. `aws_sqs_queue` |

## Inputs

| name | type | default | what it is |
|---|---|---|---|
| `prefix` | `string` | required | What starts every \\| name. |
| `queues` | `map(object)`, below | `{}` | The queues by name. |
| `network` | `object({vpc = string})` | `null` |  |

`queues`:

```hcl
map(object({
  retention_seconds = optional(number, 345600)
  tags = optional(map(string), {})
  from = optional(object({
    stream = string
  }))
}))
```

## Outputs

| name | what it is |
|---|---|
| `arns` | ARNs by name. |
"""


def test_a_readme_tells_files_inputs_and_outputs(tmp_path: Path) -> None:
    module = tmp_path / "modules" / "ingress"
    module.mkdir(parents=True)
    (module / "variables.tf").write_text(VARIABLES)
    (module / "queues.tf").write_text(QUEUES)
    (module / "outputs.tf").write_text('output "arns" {\n  description = "ARNs by name."\n  value = {}\n}\n')
    assert module_pages(tmp_path) == {module / "README.md": README}


def test_a_stale_page_is_named_and_make_docs_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("config", "docs", "sql", "terraform"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns(".terraform"))
    for folder in ("crawlers", "dbt", "glue_jobs", "lambdas", "step_functions"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for name in ("countries.py", "phone_plans.py"):
        (tmp_path / "headwater").mkdir(exist_ok=True)
        shutil.copy(ROOT / "headwater" / name, tmp_path / "headwater" / name)
    assert main(tmp_path, "--check") == 0
    outputs = tmp_path / "terraform" / "modules" / "lake" / "outputs.tf"
    outputs.write_text(outputs.read_text().replace("Names of the buckets by purpose.", "Buckets."))
    (tmp_path / "docs" / "cost.md").unlink()
    left = tmp_path / "terraform" / "modules" / "gone" / "README.md"
    left.parent.mkdir()
    left.write_text("# gone\n")
    capsys.readouterr()
    assert main(tmp_path, "--check") == 1
    assert capsys.readouterr().out == (
        "out of date: docs/cost.md, terraform/modules/lake/README.md, terraform/modules/gone/README.md. hint: make docs\n"
    )
    assert main(tmp_path) == 0
    assert not left.exists()
    assert main(tmp_path, "--check") == 0


def test_pages_of_what_is_not_valid_are_refused_in_one_line(tmp_path: Path) -> None:
    for folder in ("config", "sql", "headwater"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    table = tmp_path / "config" / "tables" / "fx_rates.yaml"
    table.write_text(table.read_text().replace("owner:", "ovner:"))
    ended = subprocess.run(
        [sys.executable, "-m", "headwater.deploy.pages"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("ConfigError: config/tables/fx_rates.yaml:")
    assert "Traceback" not in ended.stderr
