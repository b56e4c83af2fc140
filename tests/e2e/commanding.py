"""Send requests to each host and each node's ingress, for the tests of commands on a cluster."""

import itertools
import json
import shlex
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import paramiko

from infisical_iac.agent import contents
from infisical_iac.core.errors import UserError
from infisical_iac.stack import paths
from tests.cluster.hosts import Cluster
from tests.cluster.nodes import Node
from tests.cluster.place import Place
from tests.e2e import giving_up, inspection
from tests.e2e.backing import LOCAL
from tests.e2e.running import Done

KEYS = "/etc/infisical/keys"
OPENED = ("database", "redis", "restic")
SECRETS = "SELECT count(*) FROM secrets_v2"
MIGRATIONS = "SELECT count(*) FROM infisical_migrations"
ASIDE = "SELECT count(*) FROM pg_database WHERE datname LIKE 'infisical_before_%'"
GIVEN_UP = "SELECT count(*) FROM pg_database WHERE datname LIKE 'infisical_given_up_%'"
# The column that the later release of the stand-in adds.
ADDED = (
    "SELECT count(*) FROM information_schema.columns "
    "WHERE table_name = 'secrets_v2' AND column_name = 'origin'"
)
_FOLDER = "/backend"
_REPLICAS = (
    "docker ps --filter label=com.docker.swarm.service.name=infisical_infisical "
    "--format '{{.Image}}'"
)
_AGREE_SECONDS = 60
_ASK_SECONDS = 20.0
_RESTIC = f"restic --no-lock --repo {LOCAL['repository']} --password-file {{}} cat config"
# For each key: the servers of a host, the command for each, and the answer to the right password.
_ASKED = {
    "database": (
        (
            "postgres-{n}",
            'PGPASSWORD="$(cat)" psql -XqAt -h postgres-{n} infisical infisical -c "SELECT 1"',
            "1",
        ),
    ),
    "redis": (
        ("redis-{n}", 'REDISCLI_AUTH="$(cat)" redis-cli $CLI ping', "PONG"),
        ("sentinel-{n}", 'REDISCLI_AUTH="$(cat)" redis-cli $CLI -p 26379 ping', "PONG"),
    ),
}


def ok(cluster: Cluster, *arguments: str, inventory: str = "") -> Done:
    """Run `infisical-iac <arguments>`, which must succeed."""
    done = cluster.command(*arguments, inventory=inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def place(cluster: Cluster, node: Node) -> Place:
    """Return the backend's folder of production, for a deployer that logs in at a node."""
    here = Place(
        cluster.credentials(),
        project=inspection.PROJECT,
        environment="production",
        folder=_FOLDER,
    )
    return here.set_up(node)


def secrets(cluster: Cluster) -> list[dict[str, str]]:
    """Return the backend's secrets, as read through each node's ingress."""
    return [place(cluster, node).all(node) for node in cluster.nodes()]


def alter(cluster: Cluster, number: int, *, change: Mapping[str, str], delete: str) -> None:
    """Change some of the backend's secrets and delete one, at one host."""
    with inspection.deployer(cluster.host(number)) as client:
        project = contents.project(client, inspection.PROJECT)
        assert project is not None
        where = {"projectId": project["id"], "environment": "production", "secretPath": _FOLDER}
        for name, value in change.items():
            client.patch(f"/api/v4/secrets/{name}", json={**where, "secretValue": value})
        client.delete(f"/api/v4/secrets/{delete}", json=where)


@dataclass
class Written:
    """The names of the acknowledged secrets, and the number of answers of a closed edge."""

    acknowledged: set[str] = field(default_factory=set)
    closed: int = 0


@contextmanager
def writing(cluster: Cluster) -> Iterator[Written]:
    """Write secrets past the edge while the context is open, and send requests to the edge too."""
    written, over = Written(), threading.Event()
    threads = [
        threading.Thread(target=_write, args=(cluster, written, over)),
        threading.Thread(target=_ask, args=(cluster, written, over)),
    ]
    for each in threads:
        each.start()
    try:
        yield written
    finally:
        over.set()
        for each in threads:
            each.join()


def _write(cluster: Cluster, written: Written, over: threading.Event) -> None:
    for number in itertools.count():
        name = f"WRITTEN_{number}"
        # Tokens expire and Infisical restarts meanwhile.
        with suppress(UserError, paramiko.SSHException, EOFError, OSError):
            inspection.write_secrets(cluster.host(1), _FOLDER, {name: "obviously-fake"})
            written.acknowledged.add(name)
        if over.wait(0.2):
            return


def _ask(cluster: Cluster, written: Written, over: threading.Event) -> None:
    (node, *_) = cluster.nodes()
    while not over.wait(0.5):
        with suppress(httpx.HTTPError):
            answer = node.ask("GET", "/api/status", _ASK_SECONDS)
            if (answer.status_code, answer.text) == (503, paths.TEXT):
                written.closed += "retry-after" in answer.headers


def keys_of(cluster: Cluster, database: str) -> set[str]:
    """Return the names of the secrets in a database of the cluster."""
    primary = cluster.primary()
    assert primary
    names = shlex.quote(giving_up.KEYS)
    psql = f"psql -h /run/postgresql -U infisical -d {database} -XqAt -c {names}"
    return set(cluster.inside(primary, f"postgres-{primary}", psql).split())


def login_statuses(cluster: Cluster, variables: Mapping[str, str]) -> list[int]:
    """Return each node's status for a login with a service's variables."""
    body = {
        "clientId": variables["INFISICAL_CLIENT_ID"],
        "clientSecret": variables["INFISICAL_CLIENT_SECRET"],
    }
    path = "/api/v1/auth/universal-auth/login"
    answers = [node.ask("POST", path, _ASK_SECONDS, json=body) for node in cluster.nodes()]
    return [each.status_code for each in answers]


def read_statuses(cluster: Cluster, here: Place) -> list[int]:
    """Return each node's status for a read with an earlier token."""
    options = {"params": here.fields, "headers": here.headers}
    path = "/api/v4/secrets"
    answers = [node.ask("GET", path, _ASK_SECONDS, **options) for node in cluster.nodes()]
    return [each.status_code for each in answers]


def wait_for_agreement(cluster: Cluster, statement: str) -> str:
    """Return the common answer of all three PostgreSQLs, within a minute at most.

    A standby may not yet show acknowledged writes.
    """
    end = time.monotonic() + _AGREE_SECONDS
    while True:
        answers = [cluster.sql(number, statement) for number in cluster.numbers]
        if len(set(answers)) == 1 and answers[0]:
            return answers[0]
        assert time.monotonic() < end, answers
        time.sleep(1)


def versions(cluster: Cluster) -> list[str]:
    """Return the versions of Infisical's replicas, of all hosts in their order."""
    images = "\n".join(on_each(cluster, _REPLICAS)).split()
    return [image.partition("@")[0].rpartition(":")[2] for image in images]


def digests(cluster: Cluster, path: str) -> list[str]:
    """Return the SHA-256 of a file on each host."""
    return [each.split()[0] for each in on_each(cluster, f"sha256sum {path}")]


def environments(cluster: Cluster, variable: str) -> list[set[str]]:
    """Return the values of a variable in the containers of Infisical, of all hosts in order."""
    return [set(inspection.environment(cluster.host(n), variable)) for n in cluster.numbers]


def opens(cluster: Cluster, key: str, file: str) -> list[bool]:
    """Return whether the password in a file on each host works for a key's service there."""
    return [_opens(cluster, number, key, file) for number in cluster.numbers]


def _opens(cluster: Cluster, number: int, key: str, file: str) -> bool:
    if key == "restic":
        done = cluster.host(number).run(_RESTIC.format(file), check=False)
        return done.returncode == 0
    found = set()
    for service, command, answer in _ASKED[key]:
        given = f"sh -c {shlex.quote(command.format(n=number))} <{file}"
        found.add(cluster.inside(number, service.format(n=number), given) == answer)
    assert len(found) == 1, f"the servers of {key} on host {number} answer differently"
    return found.pop()


def read_json(cluster: Cluster, *arguments: str) -> Any:
    """Return the JSON that a command prints, which must succeed."""
    return json.loads(ok(cluster, *arguments, "--json").stdout)


def on_each(cluster: Cluster, command: str) -> list[str]:
    """Return what a command prints on each host."""
    return [cluster.host(number).run(command).stdout.strip() for number in cluster.numbers]
