"""Run the tests' own servers on a staging host: mail, OAuth, a forward proxy, licenses.

    programs.start(host, "proxy", "--port", "3128", "--log", "/root/proxy.log")

Each is one file of `tests/`, and runs there as a transient unit, such as `test-proxy`, until `stop`
or a reboot. The host needs only its Python, because the packages are copied too.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.staging.shell import docker

if TYPE_CHECKING:
    from tests.staging.host import StagingHost

Program = Literal["mail_server", "oauth_provider", "proxy", "license_server"]
TESTS = Path(__file__).resolve().parents[1]
PLACE = "/opt/test-servers"
# What programs import beyond Python's own modules; all are of pure Python.
_PACKAGES: dict[str, tuple[str, ...]] = {"mail_server": ("aiosmtpd", "public", "attr")}
_READY_SECONDS = 20


def bundle(program: Program, directory: Path) -> None:
    """Write a program and its packages into a directory, which is then enough to run it."""
    shutil.copy2(TESTS / f"{program}.py", directory)
    for name in _PACKAGES.get(program, ()):
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        ignored = shutil.ignore_patterns("__pycache__", "tests", "docs", "qa")
        package = Path(found.origin).parent
        shutil.copytree(package, directory / name, ignore=ignored, dirs_exist_ok=True)


def start(host: StagingHost, program: Program, *arguments: str) -> None:
    """Copy a program to the host, start it, and wait until it listens.

    One of the same name is stopped first. Raises StagingError with its log if it does not listen.
    """
    stop(host, program)
    with tempfile.TemporaryDirectory() as directory:
        bundle(program, Path(directory))
        host.run(f"mkdir -p {PLACE}")
        docker("cp", f"{directory}/.", f"{host.container}:{PLACE}/")
    unit = _unit(program)
    quoted = " ".join(f"'{each}'" for each in arguments)
    # `ready` of an earlier start is in the journal too.
    host.run(
        f"rm -f {PLACE}/{program}.log; "
        f"systemd-run --quiet --collect --unit {unit} "
        f"--property StandardOutput=append:{PLACE}/{program}.log "
        f"--property StandardError=append:{PLACE}/{program}.log "
        f"--setenv PYTHONPATH={PLACE} python3 {PLACE}/{program}.py {quoted}; "
        f"for _ in $(seq {_READY_SECONDS * 5}); do "
        f"grep -qxs ready {PLACE}/{program}.log && exit; sleep 0.2; done; "
        f"cat {PLACE}/{program}.log >&2; exit 1"
    )


def stop(host: StagingHost, program: Program) -> None:
    """Stop a program if it runs; its files stay."""
    host.run(f"systemctl stop {_unit(program)}.service 2>/dev/null || true")


def _unit(program: Program) -> str:
    return f"test-{program.replace('_', '-')}"
