"""Make images of later releases on the host, for the tests of upgrades.

Those of the stand-in are layers on its image. For a real Infisical, the release that works is the
image in the archive `STAGING_INFISICAL_NEXT`, or else the same program under a later version.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from infisical_iac.agent import contents
from infisical_iac.agent.releases import RELEASES
from tests.e2e import giving_up, inspection
from tests.e2e.backing import gateway, inventory, sql
from tests.e2e.running import PROGRAM, Done, infisical_iac
from tests.e2e.webhook import receiver
from tests.staging import stack
from tests.staging.build import RECIPES, base, build, digest, recipe_of
from tests.staging.host import StagingHost
from tests.staging.shell import STATE, docker

WAS = stack.version()
IS_REAL = stack.find_archive() is not None
# The start timeout in seconds for a version that never starts; the old version starts in less.
START_SECONDS = 120 if IS_REAL else 20
_MAJOR, _MINOR, _ = WAS.split(".")
_LATER_TAGS = f"{_MAJOR}[.]{int(_MINOR) + 1}[.]"
ADDS, BREAKS, FAILS, SLEEPS, LOSES, BREAKS_CLUSTERS, FAILS_CLUSTERS, FAILS_IN_PLACE = (
    f"{_MAJOR}.{int(_MINOR) + 1}.{patch}" for patch in range(8)
)
# Connects from the container's own network to the listener $1:$2 outside of the host.
_WATCH = """while test -e /root/watching; do
    docker inspect infisical-infisical-1 --format '{{ .State.Pid }} {{ .Config.Image }} {{
        with index .NetworkSettings.Ports "8080/tcp" }}{{ (index . 0).HostPort }}{{
        else }}-{{ end }}{{
        range $name, $_ := .NetworkSettings.Networks }} {{ $name }}{{ end }}' |
        while read -r pid image port networks; do
            test "${pid:-0}" != 0 || continue
            out=-
            timeout 1 nsenter --target "$pid" --net bash -c "</dev/tcp/$1/$2" && out=out
            echo "${image##*:} $out $port $networks"
        done
    sleep 0.2
done"""
# Only a cluster's replicas have a Docker secret.
_FAILS_THERE = "test ! -e /run/secrets/env || { echo Boot up migration failed; exit 1; }"
# Only a copy in which a version is checked gives way when memory runs short.
_FAILS_IN_PLACE = (
    'test "$(cat /proc/1/oom_score_adj)" = 900 || { echo Boot up migration failed; exit 1; }'
)
# The command of each version's image: arguments of later.py, or a program that serves nothing.
LATER = {
    ADDS: ["python3", "later.py", "adds"],
    BREAKS: ["python3", "later.py", "breaks"],
    FAILS: ["python3", "later.py", "fails"],
    SLEEPS: ["sh", "-c", "trap exit TERM; sleep infinity & wait"],
    LOSES: ["python3", "later.py", "adds", "lost"],
    BREAKS_CLUSTERS: ["python3", "later.py", "adds", "enforced", "breaks"],
}
_LATER_REAL = {FAILS: ["sh", "-c", "echo Boot up migration failed; exit 1"], SLEEPS: LATER[SLEEPS]}
NEWER = stack.POSTGRES
STATE_FILE = "/var/lib/infisical-upgrade/state"
# Lines of the agent after which an upgrade is killed: with only the old data put aside, before the
# new version starts, not connected, with a port to it, connected, and before the old data are
# removed; and with the old data in place again.
PUT_ASIDE = ("agent/data", "_put_aside(runner, aside, {})")
_UPGRADE = "agent/upgrade"
SWAPPED = (_UPGRADE, "def _check(work: StepContext) -> None:")
DISCONNECTED = (_UPGRADE, 'stack.disconnect(runner, created["infisical"], outside)')
FORWARDED = (_UPGRADE, "port = stack.forward_port(runner)")
CONNECTED = (_UPGRADE, "_end_check(work)")
PROVEN = (_UPGRADE, "def _remove_old(work: StepContext) -> None:")
BACK = (
    _UPGRADE,
    "work.keep(given_up=[asdict(each) for each in data.list_given_up(runner, stamp)])",
)


@dataclass(frozen=True)
class Upgrading:
    """A deployed host; each run says which version it is to have.

    All versions come with an older major version of PostgreSQL, but for ADDS. All may reach this
    machine.

    Attributes:
        directory: where inventories are written.
        older: the image of that PostgreSQL.
    """

    host: StagingHost
    directory: Path
    older: str

    def run(
        self,
        version: str,
        *arguments: str,
        program: tuple[str, ...] = PROGRAM,
        answer: str = "",
        **settings: object,
    ) -> Done:
        """Run `infisical-iac <arguments>` with settings that ask for a version."""
        image = NEWER if version == ADDS else self.older
        outside = (f"{gateway(self.host)}/32",)
        given = {
            "infisical_version": version,
            "postgres_image": image,
            "internal_networks": outside,
            **settings,
        }
        file = inventory(self.directory, **given)
        return infisical_iac(self.host.name, *arguments, "-i", file, program=program, answer=answer)

    def ok(self, version: str, *arguments: str, **settings: object) -> Done:
        """Run `infisical-iac <arguments>` as `run` does; it must succeed."""
        done = self.run(version, *arguments, **settings)  # type: ignore[arg-type]
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def assert_converged(self, version: str) -> None:
        """Assert that the host has this version, and that no change left anything."""
        done = self.run(version, "plan")
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.host.run(f"cat {STATE_FILE}", check=False).stdout == ""
        ports = self.host.run("systemctl list-units --all --no-legend 'infisical-port-*'").stdout
        assert ports == ""
        volumes = self.host.run("docker volume ls --quiet --filter name=infisical").stdout.split()
        kept = giving_up.volumes(self.host)
        assert set(volumes) - kept == {"infisical_postgres", "infisical_redis"}
        giving_up.forget(self.host)

    def releases(self) -> list[str]:
        """Return the names of the releases, the newest first."""
        listed = json.loads(self.ok(WAS, "rollback", "--list", "--json").stdout)
        return [each["release"] for each in listed]

    def logs(self) -> str:
        """Return the kept logs of failed changes."""
        return self.host.run(f"cat {RELEASES}/*/failed.log", check=False).stdout


def make_later(host: StagingHost, *versions: str) -> None:
    """Make images of the later releases with these names, or of all."""
    own = json.loads(
        host.run(
            f"docker inspect --format '{{{{json .Config.Cmd}}}}' {stack.INFISICAL}:{WAS}"
        ).stdout
    )
    commands = dict(_LATER_REAL if IS_REAL else LATER)
    for version, fails in ((FAILS_CLUSTERS, _FAILS_THERE), (FAILS_IN_PLACE, _FAILS_IN_PLACE)):
        commands[version] = ["sh", "-c", f'{fails}; exec "$@"', "sh", *own]
    missing = set(versions or {ADDS, *commands})
    if IS_REAL and ADDS in missing:
        _load_next(host)
        missing.remove(ADDS)
    host.run("cat >/root/later.py", input=(RECIPES / "later" / "later.py").read_text())
    copy = "true" if IS_REAL else "docker cp -q /root/later.py $made:/app/"
    for version in sorted(missing):
        command = f"CMD {json.dumps(commands[version])}"
        host.run(
            f"made=$(docker create {stack.INFISICAL}:{WAS}) && {copy} && docker commit "
            f"--change '{command}' $made {stack.INFISICAL}:{version} && docker rm $made"
        )


def _load_next(host: StagingHost) -> None:
    source, archive = f"{stack.INFISICAL}:{WAS}", os.environ.get("STAGING_INFISICAL_NEXT", "")
    if archive:
        docker("cp", archive, f"{host.container}:/root/next.tar")
        loaded = host.run("docker load --quiet --input /root/next.tar; rm /root/next.tar").stdout
        source = loaded.split()[-1]
    host.run(f"docker tag {source} {stack.INFISICAL}:{ADDS}")
    if archive:
        host.run(f"docker image rm {source}")


def start_timeout() -> int:
    """Return a short start timeout that a working version still meets."""
    return 180 if IS_REAL else 25


def redis(host: StagingHost, arguments: str) -> str:
    """Return the answer of the live Redis to arguments of redis-cli."""
    command = f"REDISCLI_AUTH=$REDIS_PASSWORD redis-cli {arguments}"
    return host.run(f"docker exec infisical-redis-1 sh -c '{command}'").stdout.strip()


def has_migrated(host: StagingHost, secrets: int) -> bool:
    """Return whether ADDS has migrated all secrets, given their number.

    For a real Infisical this is always true: its migrations are unknown here.
    """
    added = "SELECT count(*) FROM secrets_v2 WHERE origin = 'typed'"
    return IS_REAL or sql(host, added) == str(secrets)


def forget_releases(host: StagingHost) -> None:
    """Remove kept releases and all images that only upgrades use."""
    names = "{{.Repository}}:{{.Tag}}"
    host.run(
        f"rm -rf {RELEASES}; docker image ls --format '{names}' | "
        f"grep -E '^infisical-iac/kept:|:{_LATER_TAGS}|postgres:15' | xargs docker image rm; "
        "rm -f /root/later.py"
    )


def older_postgres() -> str:
    """Return the tag of an image with Debian 12's PostgreSQL 15; build it if it is missing."""
    tag, directory = "staging/postgres:15", RECIPES / "postgres"
    recipe = digest(directory, "15")
    if recipe_of(tag) != recipe:
        with tempfile.TemporaryDirectory() as context:
            shutil.copytree(directory, context, dirs_exist_ok=True)
            dockerfile = Path(context, "Dockerfile")
            dockerfile.write_text(dockerfile.read_text().replace("17", "15"))
            build(tag, Path(context), recipe, base("bookworm"))
    return tag


def have_older_postgres(host: StagingHost) -> str:
    """Load the image of the older PostgreSQL on the host, and return its tag."""
    tag, archive = older_postgres(), STATE / "postgres-15.tar"
    docker("save", "--output", str(archive), tag)
    docker("cp", str(archive), f"{host.container}:/root/postgres.tar")
    archive.unlink()
    host.run("docker load --quiet --input /root/postgres.tar; rm /root/postgres.tar")
    return tag


def secrets(host: StagingHost) -> Mapping[str, str]:
    """Return all secrets of the project that has those of the backend in production."""
    with inspection.deployer(host) as client:
        project = inspection.place(client, "/backend")["projectId"]
        listed = contents.secrets(client, project, "production")
    return {each["secretKey"]: each["secretValue"] for each in listed}


class Exposure(NamedTuple):
    """The connections of a running Infisical at one moment.

    Attributes:
        gets_out: whether a listener outside of the host accepts its connection.
        port: the port of the host at which it is published; empty if none.
        networks: the Docker networks that it is in.
    """

    version: str
    gets_out: bool
    port: str
    networks: tuple[str, ...]

    @property
    def is_closed(self) -> bool:
        """Return whether Infisical reaches, and is reached by, its databases only."""
        ways = (self.gets_out, self.port, self.networks)
        return ways == (False, "", ("infisical_databases",))


@contextmanager
def watch(host: StagingHost) -> Iterator[list[Exposure]]:
    """Collect how Infisical is exposed meanwhile, several times a second; repetitions are left out.

    The list is filled when the context ends.
    """
    seen: list[Exposure] = []
    with receiver(gateway(host)) as listener:
        place = urlsplit(listener.url)
        host.run("cat >/root/watch.sh; touch /root/watching", input=_WATCH)
        watching = f"bash /root/watch.sh {place.hostname} {place.port}"
        host.run(f"setsid {watching} >/root/seen 2>/dev/null </dev/null &")
        try:
            yield seen
        finally:
            said = host.run("rm /root/watching; sleep 2; uniq /root/seen").stdout
            host.run("rm /root/seen /root/watch.sh")
            for line in said.splitlines():
                version, out, port, *networks = line.split()
                ways = (out == "out", port.removeprefix("-"), tuple(networks))
                seen.append(Exposure(version, *ways))


def assert_closed_until_proven(seen: list[Exposure], version: str) -> None:
    """Assert that a version that passed its checks had no connection in or out before."""
    of_version = [each for each in seen if each.version == version]
    closed = [each.is_closed for each in of_version]
    assert closed == sorted(closed, reverse=True), of_version
    assert of_version[0].is_closed
    assert of_version[-1].gets_out, of_version


def version(host: StagingHost) -> str:
    """Return the version of Infisical that runs."""
    image = host.run("docker inspect --format '{{.Config.Image}}' infisical-infisical-1").stdout
    return image.strip().rpartition(":")[2]


def started(host: StagingHost) -> str:
    """Return when Infisical has started."""
    command = "docker inspect --format '{{.State.StartedAt}}' infisical-infisical-1"
    return host.run(command).stdout.strip()
