"""The gate: what a version has to do before it is kept."""

import runpy
from typing import Any

import httpx
import pytest

from infisical_iac.api.client import Client
from infisical_iac.operations import gate, session
from infisical_iac.operations.gate import Before, GateError, passed
from infisical_iac.operations.remote import CommandFailed
from infisical_iac.settings import Settings, load
from infisical_iac.upgrade.reading import Secret
from infisical_iac.workspace import canary
from infisical_iac.workspace.canary import CanaryError

_PORT = 8080
_CANARY = "canary"


class World:
    """A server with a canary and one secret, and an address that answers or does not."""

    def __init__(self) -> None:
        self.value: str | None = "obviously-fake"
        self.canary: str | None = canary.VALUE
        self.canary_is_readable = True
        self.seconds: dict[str, float] = {}
        self.deployer = True
        self.public = True

    def client(self, port: int) -> Client:
        """The deployer's, if it can log in."""
        if not self.deployer:
            raise session.NotBootstrapped("the credentials are refused")
        transport = httpx.MockTransport(self.answer)
        return Client(f"http://127.0.0.1:{port}", transport)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """A project, or its secrets."""
        if request.url.path.endswith(canary.SLUG):
            if self.canary is None:
                return httpx.Response(404, json={"error": "NotFound", "message": "not found"})
            return httpx.Response(200, json={"id": _CANARY, "environments": [{"slug": "prod"}]})
        if "/slug/" in request.url.path:
            return httpx.Response(200, json={"id": "1", "environments": [{"slug": "production"}]})
        project = request.url.params["projectId"]
        self.seconds[project] = request.extensions["timeout"]["read"]
        if project == _CANARY:
            return self._canary()
        if self.value is None:
            return httpx.Response(400, json={"error": "BadRequest", "message": "no such column"})
        secret = {"id": "a", "secretPath": "/", "secretKey": "TOKEN", "version": 1}
        return httpx.Response(200, json={"secrets": [{**secret, "secretValue": self.value}]})

    def _canary(self) -> httpx.Response:
        if not self.canary_is_readable:
            broken = {"error": "BadRequest", "message": "unable to authenticate data"}
            return httpx.Response(400, json=broken)
        found = {"secretKey": canary.SECRET, "secretValue": self.canary}
        return httpx.Response(200, json={"secrets": [found]})

    def run(self, command: str, *, doing: str) -> str:
        """The host's curl."""
        if not self.public:
            raise CommandFailed(f"could not {doing}")
        return ""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(session, "works", lambda port: made.deployer)
    monkeypatch.setattr(session, "deployer", made.client)
    monkeypatch.setattr(session, "forget", lambda: None)
    monkeypatch.setattr(gate, "run", made.run)
    return made


def _settings(**changes: Any) -> Settings:
    defaults = runpy.run_path("group_data/all.py")
    given = {key: value for key, value in defaults.items() if not key.startswith("__")}
    return load({**given, "admin_email": "admin@example.com", **changes})


_PUBLIC = _settings(site_url="https://secrets.example.com")


def _before(settings: Settings) -> Before:
    found = gate.before(settings, "chainalign", _PORT)
    assert found is not None
    return found


def test_a_version_that_does_what_the_old_one_did_passes(world: World) -> None:
    then = _before(_PUBLIC)
    assert then.public
    told = passed(_PUBLIC, "chainalign", then, port=_PORT, same_data=True)
    assert told == ["Read as before: 1 secret and the canary."]


def test_a_secret_with_another_value_does_not_pass(world: World) -> None:
    then = _before(_settings())
    world.value = "garbled"
    with pytest.raises(GateError, match="as before: TOKEN in production:/"):
        passed(_settings(), "chainalign", then, port=_PORT, same_data=True)


def test_secrets_that_cannot_be_read_do_not_pass(world: World) -> None:
    then = _before(_settings())
    world.value = None
    with pytest.raises(GateError, match="can't be read: no such column"):
        passed(_settings(), "chainalign", then, port=_PORT, same_data=True)


def test_a_deployer_that_got_in_before_must_get_in(world: World) -> None:
    then = _before(_settings())
    world.deployer = False
    with pytest.raises(GateError, match="the deployer can't log in"):
        passed(_settings(), "chainalign", then, port=_PORT, same_data=True)


def test_nothing_is_asked_of_a_deployer_that_did_not_get_in_before(world: World) -> None:
    world.deployer = False
    assert gate.before(_settings(), "chainalign", _PORT) is None
    told = passed(_settings(), "chainalign", None, port=_PORT, same_data=True)
    assert told == ["The deployer could not log in before the change: no secret was read."]


def test_a_public_address_that_answered_must_answer(world: World) -> None:
    then = _before(_PUBLIC)
    world.public = False
    with pytest.raises(GateError, match=r"https://secrets\.example\.com does not answer any more"):
        passed(_PUBLIC, "chainalign", then, port=_PORT, same_data=True)


def test_a_public_address_that_did_not_answer_before_is_not_asked_for(world: World) -> None:
    world.public = False
    told = passed(_PUBLIC, "chainalign", _before(_PUBLIC), port=_PORT, same_data=True)
    assert told[0] == (
        "https://secrets.example.com did not answer before the change either: it was not asked for."
    )


def test_a_public_address_that_is_to_be_led_to_in_another_way_is_not_asked_for(
    world: World,
) -> None:
    then = gate.before(_PUBLIC, "chainalign", _PORT, same_way=False)
    world.public = False
    told = passed(_PUBLIC, "chainalign", then, port=_PORT, same_data=True)
    assert told[0] == (
        "https://secrets.example.com is to be led to in another way than before: it was not asked "
        "for."
    )


def test_older_data_need_not_have_the_secrets_of_today(world: World) -> None:
    today = Before({"b": Secret("production:/", "NEW", 1, "00")}, public=False)
    assert passed(_settings(), "chainalign", today, port=_PORT, same_data=False) == []


def _passed(*, same_data: bool = True) -> list[str]:
    return passed(_settings(), "chainalign", _before(_settings()), port=_PORT, same_data=same_data)


@pytest.mark.parametrize("same_data", [True, False])
def test_a_canary_that_was_altered_does_not_pass(world: World, same_data: bool) -> None:
    then = _before(_settings())
    world.canary = "garbled"
    with pytest.raises(CanaryError, match="the canary was altered") as refused:
        passed(_settings(), "chainalign", then, port=_PORT, same_data=same_data)
    assert "garbled" not in str(refused.value)


def test_a_canary_that_cannot_be_read_does_not_pass(world: World) -> None:
    then = _before(_settings())
    world.canary_is_readable = False
    with pytest.raises(CanaryError, match="can't be read: unable to authenticate data"):
        passed(_settings(), "chainalign", then, port=_PORT, same_data=True)


def test_a_canary_that_is_gone_does_not_pass(world: World) -> None:
    then = _before(_settings())
    world.canary = None
    with pytest.raises(GateError, match="the canary, which was there before, is gone"):
        passed(_settings(), "chainalign", then, port=_PORT, same_data=True)


def test_data_without_a_canary_are_told_of_and_pass(world: World) -> None:
    world.canary = None
    assert _passed() == [canary.NONE, "Read as before: 1 secret."]
    assert _passed(same_data=False) == [canary.NONE]


def test_older_data_may_be_from_before_there_was_a_canary(world: World) -> None:
    then = _before(_settings())
    world.canary = None
    told = passed(_settings(), "chainalign", then, port=_PORT, same_data=False)
    assert told == [canary.NONE]


def test_a_change_is_refused_where_the_canary_is_not_well_before(world: World) -> None:
    gate.refuse(_PORT)
    world.canary = "garbled"
    with pytest.raises(CanaryError, match="the canary was altered"):
        gate.refuse(_PORT)
    world.deployer = False
    gate.refuse(_PORT)  # what does not work at all may be what is to be cured


def test_a_large_project_is_given_the_time_to_be_read(world: World) -> None:
    _before(_settings())
    assert world.seconds == {"1": 600.0, _CANARY: 30.0}
