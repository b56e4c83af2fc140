"""Test that the announced numbers of requests are about those that are sent."""

import re
from collections import Counter
from types import SimpleNamespace

import pytest

from infisical_iac.api.rate_limits import RateLimiter
from infisical_iac.core.journal import Journal
from infisical_iac.workspace import reconcile
from infisical_iac.workspace.actual import announce_reading, read
from infisical_iac.workspace.converge import apply, expect_changes
from tests.unit.deployment import TEXT, Deployment, load
from tests.unit.remembering_deployment import RememberingDeployment

_SERVICES = 20
_LARGE = TEXT + "".join(f"  service-{each}: {{folder: /{each}}}\n" for each in range(_SERVICES))
_LIMITS = {"reads": 60, "writes": 200, "secrets": 40}


class _Counting(Deployment):
    """A deployment of many services that keeps the announcements, and never waits."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self._now = 0.0

    def limit(self) -> None:
        def sleep(seconds: float) -> None:
            self._now += seconds

        self.client.limiter = RateLimiter(
            _LIMITS, window=60, clock=lambda: self._now, sleep=sleep, note=self.notes.append
        )

    @property
    def minutes(self) -> float:
        return self._now / 60


@pytest.fixture
def deployment() -> _Counting:
    return _Counting()


def test_the_announced_duration_of_changes_is_about_that_of_an_apply(
    deployment: _Counting,
) -> None:
    changes = deployment.changes(_LARGE)
    goal = deployment.goal(load(_LARGE))
    deployment.limit()
    sentence = expect_changes(deployment.client, goal, changes)
    assert "60 reads" in sentence
    announced = int(sentence.split("about ")[1].split()[0])
    for _ in apply(deployment.client, changes):
        pass
    read(deployment.client, goal)
    # A command reads the client secrets of each account too, which takes another minute here.
    assert announced - 2 <= deployment.minutes <= announced


def test_the_plan_of_a_host_notes_the_duration_once(
    deployment: _Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, goal = Journal(), deployment.goal(load(_LARGE))
    found = read(deployment.client, goal)
    deployment.limit()
    for name, value in {
        "journal": SimpleNamespace(current=lambda: run),
        "session": SimpleNamespace(deployer=lambda port: deployment.client),
    }.items():
        monkeypatch.setattr(reconcile, name, value)
    for _ in range(2):
        reconcile._note_duration(goal, found, 8080)
    (note,) = run.notes
    assert "60 reads a minute" in note


def test_no_change_takes_no_time(deployment: _Counting) -> None:
    deployment.deploy(_LARGE)
    deployment.limit()
    assert expect_changes(deployment.client, deployment.goal(load(_LARGE)), []) == ""


def test_accounts_that_are_not_there_yet_are_not_read(deployment: _Counting) -> None:
    deployment.limit()
    announce_reading(deployment.client, deployment.goal(load(_LARGE)), [], 1)
    assert deployment.notes == []


def test_a_plan_asks_five_things_about_each_identity() -> None:
    """No list that a machine identity may read has logins, client secrets, metadata or imports."""
    few, many = (_count_plan_requests(number) for number in (2, 12))
    identities = 10 * 3
    grown = {what: many[what] - few[what] for what in many if many[what] != few[what]}
    assert grown == dict.fromkeys(
        (
            "/api/v1/identities",
            "/api/v1/auth/universal-auth/identities",
            "/api/v1/auth/universal-auth/identities/client-secrets",
            "/api/v1/additional-privilege/identity",
            "/api/v2/secret-imports",
        ),
        identities,
    )


def _count_plan_requests(services: int) -> Counter[str]:
    """Return the number of requests of a plan with nothing to change, by path without ids."""
    deployment = RememberingDeployment()
    added = (f"  service-{each}: {{folder: /{each}}}\n" for each in range(services))
    desired = load(TEXT + "".join(added))
    deployment.apply(desired)
    deployment.server.requests.clear()
    assert deployment.plan(desired).due == []
    return Counter(_strip_ids(path) for _, path, _ in deployment.server.requests)


def _strip_ids(path: str) -> str:
    """Return a path without the parts that the server in memory numbers, such as `identity-12`."""
    return re.sub(r"/[a-z-]+-\d+\b", "", path)
