"""Test each isolation on one host, and the move of its secrets to projects and back.

The tests of this module follow one another on one host.
"""

import json
import subprocess
import time
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from infisical_iac.agent import contents, identities
from infisical_iac.api import login
from infisical_iac.core.errors import ApiError
from tests.e2e import dying_request, giving_up
from tests.e2e.configured import ConfiguredHost, take_back
from tests.e2e.dying_script import KILLED
from tests.e2e.inspection import PROJECT, api, deployer, env_file, write_secrets
from tests.e2e.running import REPOSITORY
from tests.staging.host import StagingHost
from tests.staging.shell import docker

pytestmark = pytest.mark.real

_SECRETS = {"/backend": {"OWN": "fake-own"}, "/shared": {"OWN": "fake-shared", "BOTH": "fake-both"}}
_OTHER = {"/python-services": {"THEIRS": "fake-theirs"}}
_CREDENTIALS = "/etc/infisical/credentials/backend.production.env"
# The server caches the permissions of an identity for about 10 s.
_CACHE_SECONDS = 20


@pytest.fixture(scope="module")
def world(
    deployed_host: StagingHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ConfiguredHost]:
    """The host with secrets in it; in the end it has none, in one project."""
    made = ConfiguredHost(deployed_host, tmp_path_factory.mktemp("isolation"), {})
    for folder, secrets in {**_SECRETS, **_OTHER}.items():
        write_secrets(deployed_host, folder, secrets)
    with take_back(made):
        yield made
        made.settings = {}
        _delete_secrets(deployed_host)


def _delete_secrets(host: StagingHost) -> None:
    with deployer(host) as client:
        project = contents.project(client, PROJECT)
        assert project is not None
        for folder, secrets in {**_SECRETS, **_OTHER}.items():
            at = {"projectId": project["id"], "environment": "production", "secretPath": folder}
            body = {**at, "secrets": [{"secretKey": name} for name in secrets]}
            client.delete("/api/v4/secrets/batch", json=body)


def _slugs(host: StagingHost) -> list[str]:
    with deployer(host) as client:
        listed = [each["slug"] for each in contents.projects(client)]
    return sorted(each for each in listed if each.startswith(PROJECT))


def _seen(host: StagingHost, project: str, folder: str) -> Any:
    """Return the secrets that `backend` reads in a folder, or the status of the refusal."""
    with api(host) as client, deployer(host) as lister:
        found = contents.project(lister, project)
        assert found is not None
        known = env_file(host, _CREDENTIALS)
        id, secret = known["INFISICAL_CLIENT_ID"], known["INFISICAL_CLIENT_SECRET"]
        reader = login.universal(client, id, secret)
        try:
            listed = contents.secrets(reader, found["id"], "production", folder=folder)
        except ApiError as error:
            return error.status
    return {each["secretKey"]: each["secretValue"] for each in listed}


def _assert_soon_unseen(host: StagingHost, folder: str) -> None:
    """Assert that `backend` reads nothing of a folder, once the server's cache has expired."""
    end = time.monotonic() + _CACHE_SECONDS
    while (seen := _seen(host, PROJECT, folder)) and time.monotonic() < end:
        time.sleep(1)
    assert seen == {}


def _assert_verified(world: ConfiguredHost) -> None:
    done = world.run("verify")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_viewer_is_applied_verified_and_read(world: ConfiguredHost) -> None:
    world.settings["isolation"] = "viewer"
    assert world.apply().returncode == 0
    _assert_verified(world)
    assert _seen(world.host, PROJECT, "/python-services") == _OTHER["/python-services"]
    world.settings["isolation"] = "privilege"
    assert world.apply().returncode == 0
    _assert_soon_unseen(world.host, "/python-services")


def test_another_isolation_is_refused_until_the_secrets_have_moved(world: ConfiguredHost) -> None:
    world.settings["isolation"] = "projects"
    done = world.run("plan")
    assert done.returncode == 1
    assert "isolation apply --to projects" in done.stderr + done.stdout
    world.settings["isolation"] = "privilege"


def test_secrets_move_to_projects_while_services_read_the_old_one(world: ConfiguredHost) -> None:
    assert world.run("isolation", "plan", "--to", "projects").returncode == 2
    done = world.run("isolation", "apply", "--to", "projects", "--yes")
    assert done.returncode == 0, done.stderr
    assert "4 secrets" in done.stdout
    assert len(_slugs(world.host)) == 1 + 3 * 3
    for folder, secrets in _SECRETS.items():
        name = folder.replace("/backend", "backend").strip("/")
        assert _seen(world.host, f"{PROJECT}-{name}-production", folder) == secrets
        assert _seen(world.host, PROJECT, folder) == secrets
    assert _seen(world.host, f"{PROJECT}-python-service-production", "/python-services") == 403
    assert world.run("isolation", "plan", "--to", "projects").returncode == 0


def test_the_move_is_finished_and_the_host_verified(world: ConfiguredHost) -> None:
    assert world.run("isolation", "finish", "--yes").returncode == 1
    world.settings["isolation"] = "projects"
    plan = world.assert_unchanged()
    assert "isolation finish" in plan.stdout + plan.stderr
    _check_out(world.host)
    assert _start_service(world.host).returncode == 0
    done = world.run("isolation", "finish", "--yes")
    assert done.returncode == 0, done.stderr
    # A service started from the old `.infisical.json` says what to do.
    refused = _start_service(world.host)
    assert (refused.returncode != 0, "check REPO --fix" in refused.stderr) == (True, True)
    assert PROJECT not in _slugs(world.host)
    world.assert_unchanged()
    _assert_verified(world)
    last = json.loads(world.run("audit", "--last", "1", "--json").stdout)[0]
    assert f"- project {PROJECT}" in last["changes"]


def _check_out(host: StagingHost) -> None:
    """Have the loader on the host, and a service whose `.infisical.json` names the one project."""
    docker("cp", str(REPOSITORY / "loaders/python/infisical_config"), f"{host.container}:/root/")
    with deployer(host) as client:
        project = contents.project(client, PROJECT)
    assert project is not None
    known = {"workspaceId": project["id"], "domain": "http://127.0.0.1:8080"}
    text = json.dumps({**known, "defaultSecretPath": "/backend"})
    host.run("mkdir -p /root/service && cat >/root/service/.infisical.json", input=text)


def _start_service(host: StagingHost) -> subprocess.CompletedProcess[str]:
    return host.run(
        f"cd /root/service && set -a && . {_CREDENTIALS} && set +a && PYTHONPATH=/root "
        "python3 -m infisical_config -- true",
        check=False,
    )


def test_verify_fails_for_a_member_of_another_project(world: ConfiguredHost) -> None:
    with deployer(world.host) as client:
        other = contents.project(client, f"{PROJECT}-python-service-production")
        service = identities.find(client, identities.organization_id(client), "backend-production")
        assert other is not None
        assert service is not None
        membership = f"/api/v1/projects/{other['id']}/memberships/identities/{service.id}"
        client.post(membership, json={"roles": [{"role": "viewer", "isTemporary": False}]})
        done = world.run("verify")
        client.delete(membership)
    assert done.returncode == 1, done.stdout[-3000:]
    assert "refused every project" in done.stdout
    world.assert_unchanged()


def test_a_drill_reads_the_secrets_of_all_projects(world: ConfiguredHost) -> None:
    assert world.run("backup", "now").returncode == 0
    done = world.run("restore", "--drill")
    assert done.returncode == 0, done.stdout + done.stderr


def test_secrets_move_back_into_one_project(world: ConfiguredHost) -> None:
    done = world.run("isolation", "apply", "--to", "privilege", "--yes")
    assert done.returncode == 0, done.stderr
    world.settings["isolation"] = "privilege"
    world.assert_unchanged()
    assert world.run("isolation", "finish", "--yes").returncode == 0
    assert _slugs(world.host) == [PROJECT]
    world.assert_unchanged()
    assert _seen(world.host, PROJECT, "/backend") == _SECRETS["/backend"]


def _end_in_spite_of_kills(
    world: ConfiguredHost, *command: str, ends: Collection[int] = (0,)
) -> None:
    """Run a command again and again, each time killed after one request more, until it ends."""
    for number in range(1, 60):
        done = world.run("isolation", *command, "--yes", program=dying_request.program(number))
        if done.returncode != KILLED:
            print(f"isolation {' '.join(command)}: killed {number - 1} times")
            assert done.returncode in ends, done.stdout + done.stderr
            assert number > 1
            return
    raise AssertionError("each run was killed")


def _move_in_spite_of_kills(world: ConfiguredHost, to: str) -> set[str]:
    """Move under a writer; return the names of its acknowledged secrets."""
    with giving_up.writing(world.host) as acknowledged:
        # It gives up the last secrets, which are written faster than it copies them.
        _end_in_spite_of_kills(world, "apply", "--to", to, ends=(0, 1))
    done = world.run("isolation", "apply", "--to", to, "--yes")
    assert done.returncode == 0, done.stderr
    assert acknowledged
    return acknowledged


@pytest.mark.long
def test_a_move_that_is_killed_at_its_requests_loses_no_acknowledged_write(
    world: ConfiguredHost,
) -> None:
    host = world.host
    written = _move_in_spite_of_kills(world, "projects")
    _end_in_spite_of_kills(world, "undo")
    assert _slugs(host) == [PROJECT]
    assert written - giving_up.serving(host) == set()
    world.assert_unchanged()

    written |= _move_in_spite_of_kills(world, "projects")
    world.settings["isolation"] = "projects"
    _end_in_spite_of_kills(world, "finish")
    assert PROJECT not in _slugs(host)
    assert written - giving_up.serving(host) == set()
    world.assert_unchanged()

    written |= _move_in_spite_of_kills(world, "privilege")
    _end_in_spite_of_kills(world, "undo")
    assert PROJECT not in _slugs(host)
    assert written - giving_up.serving(host) == set()

    written |= _move_in_spite_of_kills(world, "privilege")
    world.settings["isolation"] = "privilege"
    _end_in_spite_of_kills(world, "finish")
    assert _slugs(host) == [PROJECT]
    assert written - giving_up.serving(host) == set()
    world.assert_unchanged()
    giving_up.forget(host)
