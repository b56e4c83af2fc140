"""`python -m tests.tools`: install the programs that the tests start on this machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_PACKAGES = {
    "postgresql": "/usr/lib/postgresql",
    "redis-server": "redis-server",
    "nodejs": "node",
    "npm": "npm",
}


def missing() -> list[str]:
    """The Debian packages that the tests need and this machine lacks."""
    return [
        package
        for package, sign in _PACKAGES.items()
        if not (Path(sign).is_dir() if sign.startswith("/") else shutil.which(sign))
    ]


def main() -> None:
    """Install what is missing, as root with apt; say what to do where that can't be."""
    packages = missing()
    if not packages:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"install {' and '.join(packages)} first: the tests start them")
    print(f"==> Installing {' and '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "-qq", *command], check=True, env=environment)


if __name__ == "__main__":
    main()
