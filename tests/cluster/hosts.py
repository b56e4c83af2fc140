"""A staging cluster to break: its hosts can be killed, cut off and queried from inside.

Hosts are numbered from 1. Queries of a host use neither SSH nor the network, so that they
work for a host that is cut off.
"""

import shlex
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from tests.cluster import partition
from tests.cluster.nodes import Node
from tests.cluster.postmaster import postmaster
from tests.e2e.running import PROGRAM, Done, Run, deploy, infisical_iac, lines
from tests.staging import ingress
from tests.staging.cluster import StagingCluster
from tests.staging.host import StagingHost
from tests.staging.shell import StagingError, docker

_SERVICE = "docker ps --quiet --filter label=com.docker.swarm.service.name=infisical_"
_LEADER = "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}'"
_NODES = "docker node ls --format '{{.Hostname}} {{.Status}} {{.ManagerStatus}}'"
_SERVICES = "docker service ls --format '{{.Name}} {{.Replicas}}'"
_STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
_Given = Mapping[str, str] | None
_CONFIGURE = r"""
docker exec $(docker ps --quiet --filter name=infisical_postgres) sh -c '. /run/secrets/env
    echo "user = \"patroni:$PATRONI_PASSWORD\"" | curl --config - --silent --show-error --fail \
        --request PATCH --data "{\"KEY\": VALUE}" ${REST:-http}://127.0.0.1:8008/config'
"""
INVENTORY = "inventory/staging_cluster.py"
_CREDENTIALS = "cat /etc/infisical/deployer.env"


class Cluster:
    """The hosts of a deployed staging cluster, and its inventory."""

    def __init__(self, name: str = "cluster", inventory: str = INVENTORY) -> None:
        self.staging = StagingCluster(name)
        self.inventory = inventory
        self._hosts = self.staging.hosts
        self.numbers = tuple(range(1, len(self._hosts) + 1))

    def host(self, number: int) -> StagingHost:
        """Return a host by its number."""
        return self._hosts[number - 1]

    def nodes(self) -> list[Node]:
        """Return the nodes of the API: each host's address, by https."""
        trust = ingress.certificate(self.staging)
        name = ingress.name(self.staging)
        return [
            Node(host.name, f"https://{host.place[1]}", name, trust)
            for host in self._hosts
            if host.place
        ]

    def credentials(self) -> dict[str, str]:
        """Return the deployer's credentials, from any host that has them."""
        for number in self.alive():
            said = self.host(number).run(_CREDENTIALS, check=False).stdout
            found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
            if found:
                return found
        raise StagingError(f"no host of {self.staging.name!r} has a deployer: deploy to it first")

    def alive(self) -> list[int]:
        """Return the numbers of the running hosts."""
        return [number for number in self.numbers if self._runs(number)]

    def kill(self, number: int) -> None:
        """Cut the power of a host."""
        docker("kill", self.host(number).container)

    def start(self, *numbers: int) -> None:
        """Boot hosts again, and wait until one can log in.

        A host without a majority of the others finishes its boot only once they are back.
        """
        for number in numbers:
            docker("start", self.host(number).container)
        for number in numbers:
            self.host(number).wait()

    def cut(self, number: int) -> None:
        """Cut a host off from the others; this machine still reaches it."""
        partition.cut(self.host(number))

    def heal(self, number: int) -> None:
        """Undo `cut`."""
        partition.heal(self.host(number))

    def drain(self, number: int) -> None:
        """Drain a host in the Swarm."""
        self.host(number).run(f"docker node update --availability drain {self._hostname(number)}")

    def activate(self, number: int) -> None:
        """Undo `drain`."""
        self.host(1).run(f"docker node update --availability active {self._hostname(number)}")

    def configure_patroni(self, key: str, value: str) -> None:
        """Change a setting of Patroni, as `patronictl edit-config` does; the value is JSON."""
        self.host(1).run(_CONFIGURE.replace("KEY", key).replace("VALUE", value))

    def kill_service(self, number: int, service: str) -> None:
        """Kill a host's container of a service."""
        self.host(number).run(f"docker kill $({_SERVICE}{service})")

    def leader(self) -> int | None:
        """Return the number of the Swarm's leader, as a running host reports it."""
        listed = self.managers(_LEADER)
        leading = (n for n in self.numbers if f"{self._hostname(n)} Leader" in listed)
        return next(leading, None)

    def deploy(self, data: _Given = None, environment: _Given = None) -> Run:
        """Run the deploy on the whole cluster; `data` are settings that differ."""
        own = {"STAGING_CLUSTER": self.staging.name, **(environment or {})}
        return deploy(inventory=self.inventory, environment=own, data=data)

    def command(
        self, *arguments: str, inventory: str = "", program: tuple[str, ...] = PROGRAM
    ) -> Done:
        """Run `infisical-iac <arguments>` on the whole cluster.

        Args:
            inventory: another inventory than the cluster's own.
            program: the program to run instead of the command.
        """
        own = {"STAGING_CLUSTER": self.staging.name}
        given = (*arguments, "-i", inventory or self.inventory)
        return infisical_iac("", *given, program=program, environment=own)

    def plan(self) -> list[str]:
        """Return the changes and unknowns of `infisical-iac plan`. Raises AssertionError."""
        return lines(self.command("plan", "--json"))

    def unready(self) -> str:
        """Return the unreachable nodes, as a running host reports them; empty for none."""
        said = self.managers(_NODES)
        wrong = [line for line in said if "Ready" not in line or "Unreachable" in line]
        return ", ".join(wrong) if said else "a majority of the managers"

    def unhealthy(self) -> str:
        """Return the services without all their tasks, and standbys that don't follow."""
        said = [line.split()[:2] for line in self.managers(_SERVICES)]
        wrong = [name for name, tasks in said if len(set(tasks.split("/"))) > 1]
        wrong += [] if said else ["a majority of the managers"]
        primary = self.primary()
        following = self.sql(primary, _STREAMING) if primary else ""
        if following != str(len(self.numbers) - 1):
            wrong.append("the standbys of PostgreSQL")
        return ", ".join(wrong)

    def inside(self, number: int, service: str, command: str) -> str:
        """Return what a command prints in a host's container of a service; empty if that fails.

        It fails after twenty seconds.
        """
        # After a full disk Docker may list a container that has ended; the newest one runs.
        container = f"$(timeout 20 {_SERVICE}{service} | head -n 1)"
        script = f"timeout 20 docker exec -i {container} {command}"
        return self.host(number).run(script, check=False).stdout.strip()

    def sql(self, number: int, statement: str) -> str:
        """Return the answer of a host's own PostgreSQL, primary or not; empty without one."""
        psql = (
            f"psql -h /run/postgresql -U infisical -d infisical -XqAt -c {shlex.quote(statement)}"
        )
        return self.inside(number, f"postgres-{number}", psql)

    def primary(self) -> int | None:
        """Return the number of the host whose own Patroni reports to be the leader."""
        ask = (
            "sh -c 'curl --silent --output /dev/null --max-time 4 --write-out %{http_code} "
            "${REST:-http}://127.0.0.1:8008/primary'"
        )
        answers = self._all(lambda number: self.inside(number, f"postgres-{number}", ask))
        leading = [number for number, answer in answers.items() if answer == "200"]
        return leading[0] if leading else None

    def postmaster(self, number: int) -> str | None:
        """Return the start of a host's primary, as `postmaster.postmaster` does."""
        return postmaster(self.host(number), number)

    def managers(self, command: str) -> list[str]:
        """Return the lines that the first host with the Swarm's majority prints."""
        for number in self.alive():
            done = self.host(number).run(f"timeout 20 {command}", check=False)
            if done.returncode == 0:
                return done.stdout.splitlines()
        return []

    def _all(self, question: Callable[[int], str]) -> dict[int, str]:
        alive = self.alive()
        if not alive:
            return {}
        with ThreadPoolExecutor(len(alive)) as pool:
            return dict(zip(alive, pool.map(question, alive), strict=True))

    def _hostname(self, number: int) -> str:
        return f"staging-{self.host(number).name}"

    def _runs(self, number: int) -> bool:
        state = "{{.State.Running}}"
        return docker("inspect", "--format", state, self.host(number).container) == "true"
