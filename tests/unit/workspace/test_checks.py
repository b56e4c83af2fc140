"""Test what the agent is asked in order to check an instance, with an API on a fake host."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from infisical_iac.agent import proof
from infisical_iac.agent.public_address import PublicAddress
from infisical_iac.agent.serving import encode, serve
from infisical_iac.core import agent, journal
from infisical_iac.core.agent import Question
from infisical_iac.core.errors import CheckFailed, CommandFailed
from infisical_iac.core.journal import Journal
from infisical_iac.core.settings import Settings, load
from infisical_iac.stack import edge, session
from infisical_iac.stack.paths import TEXT
from infisical_iac.workspace import checks
from tests.unit.agent.loopback import serve_api
from tests.unit.agent.proof_world import ProofHost, World, make_host
from tests.unit.fake_infisical import UNREADABLE
from tests.unit.settings_of import defaults

T = TypeVar("T")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProofHost:
    """A host whose agent answers in this process; questions and answers pass through JSON."""
    made = make_host(tmp_path)

    def send(command: str, stdin: str) -> str:
        answers = serve(made, json.loads(stdin))
        return json.dumps({"protocol": 1, "answers": answers}, default=encode)

    def is_public(_: Any, address: PublicAddress, *, attempts: int = 1) -> bool:
        return address.is_secure and made.world.public

    monkeypatch.setattr(agent, "_send", send)
    monkeypatch.setattr(agent, "forget_answers", lambda: None)
    monkeypatch.setattr(journal, "current", Journal)
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(edge, "read_certificates_of_others", lambda: ["fake certificate"])
    monkeypatch.setattr(proof, "is_public", is_public)
    monkeypatch.setattr(proof, "answers_closed", lambda *_: made.world.closed)
    return made


@pytest.fixture
def world(host: ProofHost) -> World:
    return host.world


@pytest.fixture
def port(world: World) -> Iterator[int]:
    with serve_api(world.handle) as port:
        yield port


def _settings(**changes: Any) -> Settings:
    return load(defaults(site_url="https://secrets.example.com", ingress="caddy", **changes))


@contextmanager
def _fails(code: str, *, ends_run: bool = False) -> Iterator[None]:
    with pytest.raises(CheckFailed) as failed:
        yield
    assert (failed.value.code, failed.value.ends_run) == (code, ends_run)


def test_a_version_that_works_like_the_old_one_passes(port: int) -> None:
    then = checks.record_before(_settings(), "chainalign", port)
    assert then is not None
    assert (then.public, then.canary, len(then.secrets)) == (True, True, 1)
    opened: list[str] = []
    (output,) = checks.check_as_before(
        *(_settings(), "chainalign", then),
        port=port,
        same_data=True,
        open_edge=lambda: opened.append("open"),
    )
    assert "1 secret and the canary" in output
    assert opened == ["open"]


@pytest.mark.parametrize(
    ("closed", "public", "code"),
    [(False, True, "checks.edge"), (True, False, "checks.public")],
)
def test_the_edge_opens_between_the_two_questions(
    world: World, port: int, closed: bool, public: bool, code: str
) -> None:
    then = checks.record_before(_settings(), "chainalign", port)
    world.closed, world.public = closed, public
    opened: list[str] = []
    with _fails(code):
        checks.check_as_before(
            *(_settings(), "chainalign", then),
            port=port,
            same_data=True,
            open_edge=lambda: opened.append("open"),
        )
    assert opened == ["open"] * closed
    opened.clear()
    with _fails(code):
        checks.check_public_address(_settings(), then, lambda: opened.append("open"))
    assert opened == ["open"] * closed


def test_a_failed_check_of_the_agent_is_an_error_of_this_side(world: World, port: int) -> None:
    then = checks.record_before(_settings(), "chainalign", port)
    world.write(secretValue="garbled")
    opened: list[str] = []
    with _fails("checks.data"):
        checks.check_as_before(
            *(_settings(), "chainalign", then),
            port=port,
            same_data=True,
            open_edge=lambda: opened.append("open"),
        )
    assert opened == []
    world.deployer = False
    with _fails("checks.login"):
        checks.check_as_before(_settings(), "chainalign", then, port=port, same_data=True)


def test_an_instance_without_a_login_has_no_state_before(world: World, port: int) -> None:
    world.deployer = False
    assert checks.record_before(_settings(), "chainalign", port) is None
    assert checks.check_as_before(_settings(), "chainalign", None, port=port, same_data=True)


def test_a_change_is_refused_if_the_canary_fails_before_it(
    world: World, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks.refuse_undecryptable(port)
    world.canary.write(secretValue="garbled")
    with _fails("checks.canary", ends_run=False):
        checks.refuse_undecryptable(port)
    world.canary.refused["/"] = UNREADABLE
    with _fails("checks.canary", ends_run=True):
        checks.refuse_undecryptable(port)
    # While Docker is down, Infisical hangs sooner or later, and is not asked.
    stopped = SimpleNamespace(unknown=[session.NO_ENGINE])
    monkeypatch.setattr(journal, "current", lambda: stopped)
    checks.refuse_undecryptable(port)


def test_the_plan_has_the_settings_that_a_proof_depends_on(host: ProofHost) -> None:
    plan = checks.plan_of(_settings(isolation="viewer", topology="single"), "chainalign")
    assert (plan.project, plan.isolation, plan.topology) == ("chainalign", "viewer", "single")
    assert plan.address == PublicAddress(
        "https://secrets.example.com", True, TEXT, 7, ["fake certificate"]
    )
    behind = load(defaults(site_url="https://secrets.example.com", ingress="none"))
    assert checks.plan_of(behind).address == PublicAddress(
        "https://secrets.example.com", False, TEXT, 7, ()
    )


def test_certificates_are_read_on_the_other_nodes_and_a_silent_node_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = [SimpleNamespace(name=f"node-{number}") for number in (1, 2, 3)]
    asked: list[str] = []

    def ask(question: Question[T]) -> str:
        asked.append(question.calls[0].name)
        if len(asked) == 1:
            raise CommandFailed("it is full")
        return "fake certificate"

    monkeypatch.setattr(edge, "host", nodes[0])
    monkeypatch.setattr(edge, "with_others", lambda _: nodes)
    monkeypatch.setattr(edge, "current", nullcontext)
    monkeypatch.setattr(edge, "ask", ask)
    assert edge.read_certificates_of_others() == ["fake certificate"]
    assert asked == ["public_address.read_certificates"] * 2
