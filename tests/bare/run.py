"""Makes a bare machine, sets Headwater up on it as a newcomer would, and shows that it works: `make test-bare`.

It takes minutes and downloads a gigabyte, so it is no part of `make test`. The machine is a root directory of its own in a user
namespace, with no Java, MariaDB, Terraform or browser, an empty home, and a user without rights. What is tried is the last commit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bare.root import NotBuildableError, build

REPOSITORY = Path(__file__).resolve().parents[2]
# How a machine reaches the registries belongs to it, as its resolv.conf does.
_PASSED_ON = ("SSL_CERT_FILE", "PIP_CERT", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "DEFAULT_ARTIFACT_REPOSITORY")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")

# Root of a new user namespace only: it may mount and change the root, and touches nothing outside.
_ENTER = """
set -e
root=$1; source=$2; shift 2
mount --rbind "$root" "$root"
cd "$root"
mount -t proc proc proc || mount --rbind /proc proc
mount -t tmpfs tmpfs dev
for device in null zero full random urandom tty; do touch dev/$device; mount --bind /dev/$device dev/$device; done
ln -s /proc/self/fd dev/fd; mkdir -m 1777 dev/shm; mount -t tmpfs tmpfs dev/shm
mkdir -p source; mount --bind "$source" source
mkdir -p old; pivot_root . old; cd /; umount -l old; rmdir old
exec unshare --user --map-user=1000 --map-group=1000 env -i "$@"
"""
_NEWCOMER = """
set -e
cd
echo "== $(id -un) in $HOME, which holds: $(ls -A | wc -l) files"
for program in java mariadbd mysqld terraform chromium; do
    ! command -v $program || { echo "not bare: $program is here"; exit 1; }
done
git clone -q /source headwater
cd headwater
echo "== make setup"
make setup
echo "== make setup, again"
make setup
echo "== a run over Kafka and MariaDB"
.venv/bin/python -m tests.bare.proof
echo "== what needs a browser or Terraform skips, and says so; what needs MariaDB does not"
.venv/bin/python -m pytest -q -rs tests/local/test_mariadb.py tests/e2e/test_report_page.py tests/terraform/test_plans.py
"""


def main() -> int:
    """Runs it; 0 also where it cannot run, with the reason printed."""
    reason = _why_not()
    if reason:
        print(f"test-bare: skipped, {reason}")
        return 0
    # Not /tmp, which may be of memory: a setup takes gigabytes.
    folder = Path(tempfile.mkdtemp(prefix="headwater-bare-", dir=os.environ.get("HEADWATER_BARE_FOLDER", "/var/tmp")))
    try:
        try:
            packages = build(folder)
        except NotBuildableError as error:
            print(f"test-bare: skipped, {error}")
            return 0
        print(f"== a machine of {packages} packages in {folder}", flush=True)
        return subprocess.run(_command(folder), check=False).returncode
    finally:
        shutil.rmtree(folder)


def _command(root: Path) -> list[str]:
    lower = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | lower
    settings = {"HOME": "/home/newcomer", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **kept}
    enter = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
    variables = [f"{name}={value}" for name, value in settings.items()]
    return [*enter, "bash", "-c", _ENTER, "enter", str(root), str(REPOSITORY), *variables, "bash", "-c", _NEWCOMER]


def _why_not() -> str | None:
    if shutil.which("unshare") is None:
        return "this machine has no unshare"
    namespaces = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--fork",
        "unshare",
        "--user",
        "--map-user=1000",
        "true",
    ]
    done = subprocess.run(namespaces, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"this machine allows no user namespaces: {done.stderr.strip()}"
    asked = [sys.executable, "-m", "pip", "index", "versions", "uv"]
    if subprocess.run(asked, capture_output=True, check=False).returncode != 0:
        return "the package registry is out of reach"
    return None


if __name__ == "__main__":
    sys.exit(main())
