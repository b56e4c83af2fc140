"""`python -m tests.tools`: install the programs that the tests start on this machine."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGES = {
    # The name has the version, because `postgresql` would keep an older one of the machine.
    "postgresql-17": "/usr/lib/postgresql/17/bin",
    "redis-server": "redis-server",
    "nodejs": "node",
    "npm": "npm",
    "fail2ban": "fail2ban-server",
    "iproute2": "ip",
    "jq": "jq",
    "logrotate": "logrotate",
    "nftables": "nft",
    "python3-systemd": "/usr/lib/python3/dist-packages/systemd",
    "chromium-headless-shell": "chromium-headless-shell",
    "promtool": "promtool",
    "libnss3-tools": "certutil",
    "testssl.sh": "testssl",
    "caddy": "caddy",
    "nginx-light": "nginx",
    "pebble": "pebble",
    "curl": "curl",
    "docker-compose": "docker-compose",
    "restic": "restic",
    "restic-rest-server": "restic-rest-server",
    "openssl": "openssl",
    "haproxy": "haproxy",
    "etcd-server": "etcd",
    "etcd-client": "etcdctl",
    "patroni": "patroni",
    "dbus-daemon": "dbus-run-session",
    "gnome-keyring": "gnome-keyring-daemon",
    "libsecret-tools": "secret-tool",
    "python3-etcd": "/usr/lib/python3/dist-packages/etcd",
}
# The services of these packages. Debian would start them now and at each boot, on ports that this
# machine may need. The tests start the programs themselves.
_SERVICES = {
    "postgresql-17": "postgresql",
    "redis-server": "redis-server",
    "fail2ban": "fail2ban",
    "caddy": "caddy",
    "nginx-light": "nginx",
    "haproxy": "haproxy",
    "etcd-server": "etcd",
    "patroni": "patroni",
}
# Debian's packages run this program before they start a service; status 101 forbids the start.
_POLICY = Path("/usr/sbin/policy-rc.d")


def missing() -> list[str]:
    """Return the Debian packages that the tests need and this machine lacks."""
    return [
        package
        for package, sign in _PACKAGES.items()
        if not (Path(sign).is_dir() if sign.startswith("/") else shutil.which(sign))
    ]


def main() -> None:
    """Install the missing packages by apt, or exit with their names if that is impossible."""
    packages = missing()
    if not packages:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"install {' and '.join(packages)} first: the tests start them")
    print(f"==> Installing {' and '.join(packages)}: some minutes", flush=True)
    started = time.monotonic()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with nothing_started():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", "-qq", *command], check=True, env=environment)
    services = [_SERVICES[package] for package in packages if package in _SERVICES]
    if services and shutil.which("systemctl"):
        subprocess.run(["systemctl", "--quiet", "disable", *services], check=True)
    seconds = time.monotonic() - started
    print(f"==> Installed {len(packages)} packages in {seconds:.0f} s", flush=True)


@contextmanager
def nothing_started(policy: Path = _POLICY) -> Iterator[None]:
    """Keep packages from starting services while the context is open; keep an existing `policy`."""
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


if __name__ == "__main__":
    main()
