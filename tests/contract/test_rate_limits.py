"""Test plans, applies and migrations against an Infisical that limits requests."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from infisical_iac.agent import contents
from infisical_iac.api import login, rate_limits
from infisical_iac.api.client import Client
from infisical_iac.api.rate_limits import READS, SECRETS, RateClass, RateLimiter
from infisical_iac.cli.main import main
from infisical_iac.workspace.moving import carry_out, compute_ending, end

from .first import EMAIL, PASSWORD, Deployer, set_up
from .projects import Projects

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx

    from infisical_iac.workspace.model import Isolation

    from .conftest import StartStandin
    from .services import Standin

_SECONDS = 0.3
# So long that a busy machine sends more than the limit in it, too.
_LONG, _MINUTE = 2.0, 60.0
_LIMITS = {"reads": 30, "writes": 15, "secrets": 5}
_FIXED = {"identities": 30, "projects": 30, "logins": 60, "mails": 2}
_SERVICES = ("api", "web")
_ENVIRONMENTS = ("development", "production")
_PROJECT = f"""
project: {{name: acme-shop, slug: acme-shop}}
environments: [{{slug: development, name: Development}}, {{slug: production, name: Production}}]
services: {{{", ".join(f"{each}: {{folder: /{each}}}" for each in _SERVICES)}}}
"""


class Repository:
    """A repository with `.env` files and a project file, and commands for a limited Infisical."""

    def __init__(self, root: Path, made: Deployer) -> None:
        self.root = root
        (root / "acme.yaml").write_text(_PROJECT, encoding="utf-8")
        (root / "group_data").mkdir()
        for service in _SERVICES:
            (root / service).mkdir()
            for each in _ENVIRONMENTS:
                (root / service / f".env.{each}").write_text(f"FAKE=fake-{service}-{each}\n")
        self.statuses: Counter[int] = Counter()
        self.made = made
        self.isolation = "privilege"

    def set(self, **limits: int) -> None:
        text = f"api_rate = {limits!r}\nisolation = {self.isolation!r}\n"
        (self.root / "group_data/hetzner.py").write_text(text, encoding="utf-8")

    def run(self, *command: str) -> Result:
        given = [*command, "--project-file", "acme.yaml"]
        return CliRunner().invoke(main, given, catch_exceptions=False)

    @contextmanager
    def deployment(self, standin: Standin, limiter: RateLimiter) -> Iterator[Projects]:
        """Return a deployment whose requests keep to the limits of a limiter."""
        with Client(standin.url, limiter=limiter) as anyone:
            deployer = login.universal(anyone, self.made.client_id, self.made.client_secret)
            yield Projects(deployer, anyone, self.made.client_id, self.made.organization)

    def migrate_all(self) -> list[Result]:
        """Run all commands, and return their results."""
        return [
            self.run("workspace", "plan"),
            self.run("workspace", "apply", "--yes"),
            self.run("workspace", "plan"),
            self.run("migrate", "plan", "."),
            self.run("migrate", "apply", "migration.yaml"),
            self.run("migrate", "plan", "."),
        ]


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    """The time in which the limits count."""
    return float(getattr(request, "param", _SECONDS))


@pytest.fixture
def limited(start: StartStandin, database: str, seconds: float) -> Standin:
    limits = ",".join(f"{name}={number}" for name, number in (_LIMITS | _FIXED).items())
    limiting = {"STANDIN_RATE_LIMITS": limits, "STANDIN_RATE_SECONDS": str(seconds)}
    return start(database, **limiting).wait()


@pytest.fixture
def repository(
    limited: Standin, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Repository:
    with Client(limited.url) as client:
        deployer = set_up(client)
    monkeypatch.setenv("INFISICAL_API_URL", limited.url)
    monkeypatch.setenv("INFISICAL_CLIENT_ID", deployer.client_id)
    monkeypatch.setenv("INFISICAL_CLIENT_SECRET", deployer.client_secret)
    monkeypatch.setenv("INFISICAL_ADMIN_EMAIL", EMAIL)
    monkeypatch.setenv("INFISICAL_ADMIN_PASSWORD", PASSWORD)
    monkeypatch.setattr(rate_limits, "_WINDOW", seconds)
    monkeypatch.chdir(tmp_path)
    made = Repository(tmp_path, deployer)
    send = Client._request

    def recording(self: Client, *request: Any) -> httpx.Response:
        answer = send(self, *request)
        made.statuses[answer.status_code] += 1
        return answer

    monkeypatch.setattr(Client, "_request", recording)
    return made


def _assert_migrated(results: list[Result]) -> None:
    outputs = "\n".join(each.output for each in results)
    assert [each.exit_code for each in results] == [2, 0, 0, 2, 0, 0], outputs
    assert "4 of 4 secrets read back byte for byte" in results[4].stdout


@pytest.mark.parametrize("isolation", ["privilege", "projects"])
def test_with_the_setting_no_request_is_refused(
    repository: Repository, limited: Standin, isolation: str
) -> None:
    repository.isolation = isolation
    repository.set(**_LIMITS)
    results = repository.migrate_all()
    _assert_migrated(results)
    assert repository.statuses[200] > 4 * _LIMITS["reads"]
    assert repository.statuses[429] == 0
    with repository.deployment(limited, RateLimiter()) as there:
        slugs = {each["slug"] for each in contents.projects(there.deployer)}
    ids = [f"acme-shop-{each}-{stage}" for each in _SERVICES for stage in _ENVIRONMENTS]
    assert slugs == ({*ids} if isolation == "projects" else {"acme-shop"})


@pytest.mark.parametrize("to", ["projects", "privilege"])
def test_no_request_of_a_move_to_another_isolation_is_refused(
    repository: Repository, limited: Standin, to: Isolation
) -> None:
    from_: Isolation = "privilege" if to == "projects" else "projects"
    with repository.deployment(limited, RateLimiter(dict(_LIMITS))) as there:
        there.isolation = from_
        there.apply()
        at = (
            there.at("api.live")
            if from_ == "projects"
            else {"projectId": there.memory.project, "environment": "live", "secretPath": "/api"}
        )
        for number in range(3):
            body = {**at, "secretValue": "fake"}
            there.deployer.post(f"/api/v4/secrets/KEY_{number}", json=body)
        before = there.deployer.limiter.count_sent()
        moved = carry_out(there.reach(), to, lambda _: None)
        sent = there.deployer.limiter.count_sent() - before
        there.isolation = to
        end(there.reach(), compute_ending(there.reach(), "finish"), lambda _: None)
        assert there.plan().due == []
    assert (moved.same, moved.is_settled) == (3, True)
    # So many that the limits delayed them.
    assert (sent[READS] > _LIMITS["reads"], sent[SECRETS] > _LIMITS["secrets"]) == (True, True)
    assert repository.statuses[429] == 0


def test_a_migration_announces_the_requests_that_it_sends(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[tuple[RateLimiter, int, int]] = []
    announce = RateLimiter.announce

    def recording(self: RateLimiter, due: Mapping[RateClass, int], what: str = "this") -> None:
        announced.append((self, due.get(SECRETS, 0), self.count_sent()[SECRETS]))
        announce(self, due, what)

    monkeypatch.setattr(RateLimiter, "announce", recording)
    repository.set(reads=1000, writes=1000, secrets=_LIMITS["secrets"])
    _assert_migrated(repository.migrate_all())
    ((limiter, due, before),) = [each for each in announced if each[1] > 1 + len(_ENVIRONMENTS)]
    assert limiter.count_sent()[SECRETS] - before == due == 4 + 2 * len(_ENVIRONMENTS)


@pytest.mark.parametrize("isolation", ["privilege", "viewer", "projects"])
def test_a_plan_announces_about_as_many_reads_as_it_sends(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, isolation: str
) -> None:
    limiters: list[RateLimiter] = []
    announced: list[int] = []
    announce = RateLimiter.announce

    def recording(self: RateLimiter, due: Mapping[RateClass, int], what: str = "this") -> None:
        limiters.append(self)
        announced.append(self.count_sent()[READS] + due.get(READS, 0))
        announce(self, due, what)

    repository.set(**_LIMITS)
    applied = repository.run("workspace", "apply", "--yes", "--isolation", isolation)
    assert applied.exit_code == 0, applied.output
    monkeypatch.setattr(RateLimiter, "announce", recording)
    planned = repository.run("workspace", "plan", "--isolation", isolation)
    assert planned.exit_code == 0, planned.output
    sent = limiters[0].count_sent()[READS]
    # Lists of the organization, which don't grow with the services, are not announced.
    assert announced == [pytest.approx(sent, abs=12)]
    assert repository.statuses[429] == 0


@pytest.mark.parametrize("seconds", [_LONG], indirect=True)
def test_without_the_setting_refused_requests_are_repeated(repository: Repository) -> None:
    results = repository.migrate_all()
    _assert_migrated(results)
    assert repository.statuses[429] > 0
    for each in results:
        notes = re.findall(r"Note: Infisical takes at most (\d+) (\w+)", each.stderr)
        assert len(notes) == len(set(notes))
        assert {(int(limit), kind) for limit, kind in notes} <= {
            (30, "reads"),
            (15, "writes"),
            (5, "calls"),
        }


def test_a_setting_above_the_limits_is_corrected_by_them(repository: Repository) -> None:
    repository.set(reads=1000, writes=1000, secrets=1000)
    _assert_migrated(repository.migrate_all())


@pytest.mark.parametrize("seconds", [_MINUTE], indirect=True)
def test_a_refusal_has_the_headers_and_the_body_of_the_vendor(limited: Standin) -> None:
    with limited.client() as client:
        answers = [client.get("/api/v1/admin/config") for _ in range(31)]
        free = client.get("/api/status")
    last, refused = answers[-2:]
    assert (last.status_code, refused.status_code, free.status_code) == (200, 429, 200)
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after")
    assert [last.headers.get(each) for each in names][:2] == ["30", "0"]
    assert [refused.headers.get(each) for each in names][:2] == ["30", "0"]
    wait = refused.headers["retry-after"]
    assert 0 < int(wait) <= _MINUTE
    assert refused.headers["x-ratelimit-reset"] == wait
    assert "retry-after" not in last.headers
    assert not set(names) & set(free.headers)
    body = refused.json()
    assert body.pop("reqId")
    assert body == {
        "statusCode": 429,
        "message": f"Rate limit exceeded. Please try again in {wait} seconds",
        "error": "RateLimitExceeded",
    }
