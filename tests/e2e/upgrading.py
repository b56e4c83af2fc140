"""What the tests of upgrades share: later releases of the stand-in, made on the host itself."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infisical_iac.api import contents
from infisical_iac.upgrade import RELEASES
from tests.e2e import giving_up, looking
from tests.e2e.backing import inventory
from tests.e2e.running import PROGRAM, Done, infisical_iac
from tests.staging import stack
from tests.staging.build import RECIPES, base, build, digest, recipe_of
from tests.staging.host import StagingHost
from tests.staging.shell import STATE, docker

WAS = stack.STANDIN_VERSION
# By the version, the command of its image: arguments of later.py, or what is no server at all.
LATER = {
    "v0.166.0": ["python3", "later.py", "adds"],
    "v0.166.1": ["python3", "later.py", "breaks"],
    "v0.166.2": ["python3", "later.py", "fails"],
    "v0.166.3": ["sh", "-c", "trap exit TERM; sleep infinity & wait"],
    "v0.166.4": ["python3", "later.py", "adds", "lost"],
}
ADDS, BREAKS, FAILS, SLEEPS, LOSES = LATER
NEWER = stack.POSTGRES
STATE_FILE = "/var/lib/infisical-upgrade/state"


@dataclass(frozen=True)
class Upgrading:
    """A deployed host whose version is what each run says.

    All versions have an older major version of PostgreSQL, but the one that works and is later.

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
        wanted = {"infisical_version": version, "postgres_image": image, **settings}
        file = inventory(self.directory, **wanted)
        return infisical_iac(self.host.name, *arguments, "-i", file, program=program, answer=answer)

    def ok(self, version: str, *arguments: str, **settings: object) -> Done:
        """The same, which must succeed."""
        done = self.run(version, *arguments, **settings)  # type: ignore[arg-type]
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def settled(self, version: str) -> None:
        """Assert that the host is as the settings with this version say, with nothing left over."""
        done = self.run(version, "plan")
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.host.run(f"cat {STATE_FILE}", check=False).stdout == ""
        volumes = self.host.run("docker volume ls --quiet --filter name=infisical").stdout.split()
        kept = giving_up.volumes(self.host)
        assert set(volumes) - kept == {"infisical_postgres", "infisical_redis"}
        giving_up.forget(self.host)

    def releases(self) -> list[str]:
        """The names of the releases, the newest first."""
        listed = json.loads(self.ok(WAS, "rollback", "--list", "--json").stdout)
        return [each["release"] for each in listed]

    def logs(self) -> str:
        """What was kept of changes that failed."""
        return self.host.run(f"cat {RELEASES}/*/failed.log", check=False).stdout


def make_later(host: StagingHost, *versions: str) -> None:
    """Make images of all later releases, or of the named, each a layer on the stand-in's."""
    host.run("cat >/root/later.py", input=(RECIPES / "later" / "later.py").read_text())
    for version in versions or LATER:
        command = LATER[version]
        host.run(
            f"made=$(docker create {stack.INFISICAL}:{WAS}) && docker cp -q /root/later.py "
            f"$made:/app/ && docker commit --change 'CMD {json.dumps(command)}' $made "
            f"{stack.INFISICAL}:{version} && docker rm $made"
        )


def forget_releases(host: StagingHost) -> None:
    """Take away what upgrades keep, and all images that are only theirs."""
    names = "{{.Repository}}:{{.Tag}}"
    host.run(
        f"rm -rf {RELEASES}; docker image ls --format '{names}' | "
        f"grep -E '^infisical-iac/kept:|:v0[.]166|postgres:15' | xargs docker image rm; "
        "rm -f /root/later.py"
    )


def older_postgres() -> str:
    """The tag of an image of Debian 12's PostgreSQL 15, built where it is missing."""
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
    """The same, on the host."""
    tag, archive = older_postgres(), STATE / "postgres-15.tar"
    docker("save", "--output", str(archive), tag)
    docker("cp", str(archive), f"{host.container}:/root/postgres.tar")
    archive.unlink()
    host.run("docker load --quiet --input /root/postgres.tar; rm /root/postgres.tar")
    return tag


def secrets(host: StagingHost) -> Mapping[str, str]:
    """All secrets of production."""
    with looking.deployer(host) as client:
        project = contents.project(client, looking.PROJECT)
        assert project is not None
        listed = contents.secrets(client, project["id"], "production")
    return {each["secretKey"]: each["secretValue"] for each in listed}


def version(host: StagingHost) -> str:
    """The version of Infisical that runs."""
    image = host.run("docker inspect --format '{{.Config.Image}}' infisical-infisical-1").stdout
    return image.strip().rpartition(":")[2]
