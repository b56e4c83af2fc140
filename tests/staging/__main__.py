"""Run `python -m tests.staging up|down|cluster|status|summary|images`."""

import argparse
import shutil
import sys

from tests.staging import access, disk, engine, ingress, stack
from tests.staging.build import remove_images
from tests.staging.cluster import StagingCluster
from tests.staging.host import StagingHost, remove
from tests.staging.shell import STATE, StagingError, say
from tests.staging.summary import text


def main() -> int:
    """Run one command; return 0, or 1 with a sentence on standard error if it failed."""
    arguments = _parser().parse_args()
    try:
        arguments.command(arguments)
    except StagingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def up(arguments: argparse.Namespace) -> None:
    """Pull, build or load the stack's images, and boot the host."""
    images(arguments)
    host = StagingHost(arguments.name, arguments.release, arguments.user)
    host.up()
    ingress.choose(host, arguments.ingress)
    say(f"Staging host {host.name!r} is up: ssh -F .staging/{host.name}/ssh_config {host.name}")


def cluster(arguments: argparse.Namespace) -> None:
    """Boot a cluster of hosts, or remove it."""
    staging = StagingCluster(arguments.name)
    if arguments.state == "down":
        if not staging.hosts and not staging.directory.exists():
            raise StagingError(f"there is no staging cluster {staging.name!r}")
        say(f"Removing the staging cluster {staging.name!r}")
        staging.down()
        return
    engine.ensure()
    stack.ensure_cluster()
    staging.up(arguments.hosts, arguments.disk_gb)
    ingress.choose(staging, arguments.ingress)
    say(f"Staging cluster {staging.name!r} is up: STAGING_CLUSTER={staging.name} names it")


def images(_: argparse.Namespace) -> None:
    """Pull, build or load the images of the stack."""
    engine.ensure()
    stack.ensure(prefer_official=True)


def down(arguments: argparse.Namespace) -> None:
    """Remove one host, or with --all everything that staging made."""
    if not arguments.all:
        say(f"Removing the staging host {arguments.name!r}")
        StagingHost(arguments.name).down()
        return
    kept = False
    if engine.is_installed():
        # Start a daemon that died: it still keeps volumes and images.
        engine.ensure()
        say("Removing all staging hosts, their volumes, and the images that were made for them")
        remove()
        for directory in STATE.glob("*/"):
            disk.forget(directory)
        kept = not remove_images()
        if not kept:
            engine.stop_if_ours()
    shutil.rmtree(STATE, ignore_errors=True)
    if not kept:
        say(
            "Nothing of staging is left but the Debian packages that were installed, such as Docker"
        )


def status(_: argparse.Namespace) -> None:
    """Print one line for each host."""
    print(f"docker: {'answers' if engine.answers() else 'does not answer'}")
    for file in sorted(STATE.glob("*/host.json")):
        known = access.read(file.parent)
        up = access.answers(file.parent, known.name)
        print(
            f"{known.name}: {'up' if up else 'down'}, Debian {known.release}, "
            f"{known.user}@127.0.0.1:{known.port}"
        )


def summary(arguments: argparse.Namespace) -> None:
    """Print what is on a deployed host and what to do next."""
    print(text(StagingHost(arguments.name)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.staging", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in (up, down, cluster, status, summary, images):
        line = (command.__doc__ or "").splitlines()[0]
        sub = commands.add_parser(command.__name__, help=line, description=line)
        sub.set_defaults(command=command)
        if command in (up, down, summary):
            sub.add_argument("--name", default="demo", help="the host's name (default: demo)")
        if command is up:
            sub.add_argument("--release", choices=("trixie", "bookworm"), default="trixie")
            sub.add_argument("--user", choices=("root", "deploy"), default="root")
            sub.add_argument("--ingress", choices=ingress.OF_HOST, default=ingress.DEFAULT)
        if command is cluster:
            sub.add_argument("state", choices=("up", "down"))
            sub.add_argument("--name", default="cluster", help="the name (default: cluster)")
            sub.add_argument("--hosts", type=int, default=3, help="number of hosts (default: 3)")
            sub.add_argument("--ingress", choices=ingress.OF_CLUSTER, default=ingress.DEFAULT)
            sub.add_argument("--disk-gb", type=int, default=0, help="disk of each Docker")
        if command is down:
            sub.add_argument("--all", action="store_true", help="also all images and the daemon")
    return parser


if __name__ == "__main__":
    sys.exit(main())
