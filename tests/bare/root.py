"""Builds the root of a machine with Python 3.11, make and git, and nothing else: this machine's own files of a few packages.

A minimal Debian consists of the packages whose priority is "required". With what Python, make and git depend on, they are
copied as the package manager lists them; nothing is downloaded.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

WANTED = ("python3.11", "python3.11-venv", "make", "git", "ca-certificates", "libstdc++6")
_ESSENTIAL_PRIORITY = "required"
# Not packaged, but made by packages as they are installed.
_MADE = (
    "etc/ssl/certs/ca-certificates.crt",
    "etc/nsswitch.conf",
    "etc/resolv.conf",
    "etc/hosts",
    "etc/pip.conf",
    "etc/ld.so.conf",
)
_MERGED = ("bin", "sbin", "lib", "lib64")


class NotBuildableError(Exception):
    """This machine's packages cannot be copied; the message says why."""


def build(root: Path) -> int:
    """Copies the files of the wanted packages and of all that they need below `root`, and counts the packages."""
    if shutil.which("dpkg-query") is None:
        raise NotBuildableError("this machine has no dpkg to tell which files a minimal machine consists of")
    packages = _closure()
    for folder in _MERGED:
        (root / "usr" / folder).mkdir(parents=True)
        (root / folder).symlink_to(f"usr/{folder}")
    for path in _files(packages):
        _copy(path, root)
    for path in (Path("/") / made for made in _MADE):
        if path.exists():
            target = root / path.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    (root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nnewcomer:x:1000:1000::/home/newcomer:/bin/bash\n")
    (root / "etc" / "group").write_text("root:x:0:\nnewcomer:x:1000:\n")
    for folder in ("proc", "dev", "sys", "tmp", "home/newcomer"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    # The package manager leaves the choice of an awk to links that it makes by itself.
    (root / "usr" / "bin" / "awk").symlink_to("mawk")
    subprocess.run(["ldconfig", "-r", str(root)], check=True, env={"PATH": "/usr/sbin:/sbin"})
    return len(packages)


def _closure() -> set[str]:
    fields = "${db:Status-Abbrev}\t${Package}\t${Priority}\t${Essential}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
    listed = subprocess.run(["dpkg-query", "-W", "-f", fields], capture_output=True, text=True, check=True).stdout
    needs: dict[str, str] = {}
    providers: dict[str, str] = {}
    pending = list(WANTED)
    for line in listed.splitlines():
        status, name, priority, essential, provided, depends = line.split("\t")
        if not status.startswith("ii"):
            continue
        needs[name] = depends
        providers.update(dict.fromkeys(_names(provided), name))
        if priority == _ESSENTIAL_PRIORITY or essential == "yes":
            pending.append(name)
    missing = [name for name in WANTED if name not in needs]
    if missing:
        raise NotBuildableError(f"this machine has no package {', '.join(missing)} whose files could be copied")
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        for alternatives in needs[name].split(","):
            known = (providers.get(option, option) for option in _names(alternatives.replace("|", ",")))
            pending += [option for option in known if option in needs][:1]
    return found


def _names(listed: str) -> list[str]:
    names = (re.sub(r"[(:].*", "", part).strip() for part in listed.split(","))
    return [name for name in names if name]


def _files(packages: set[str]) -> list[Path]:
    listed = subprocess.run(["dpkg-query", "-L", *sorted(packages)], capture_output=True, text=True, check=True).stdout
    paths = {
        Path(line) for line in listed.splitlines() if line.startswith("/") and not line.startswith("/usr/share/doc/")
    }
    return sorted(path for path in paths if path.is_symlink() or path.is_file())


def _copy(path: Path, root: Path) -> None:
    target = root / (path.parent.resolve() / path.name).relative_to("/")
    if target.is_symlink() or target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target, follow_symlinks=False)
