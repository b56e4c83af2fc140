"""Test that clients of logins are proven at a provider, and the remedy for each refusal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent.servers import ServerFinding, try_client
from infisical_iac.core import journal
from infisical_iac.core.agent import question
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.journal import Journal
from infisical_iac.instance import given, proof
from infisical_iac.instance.proof import explain_login_failure
from tests.certificates import OwnAuthority
from tests.oauth_provider import OAuthProvider
from tests.ports import free_port
from tests.proxy import ForwardProxy
from tests.serving import serving
from tests.unit.agent.fake_runner import FakeRunner, answer, answer_by_newest_python
from tests.unit.settings_of import NAME, settings_of

_KEY = "given_client_secret_gitlab_login"
_CALLBACK = f"https://{NAME}/api/v1/sso/gitlab"
_PATHS = {
    "google": "/oauth2/v4/token",
    "github": "/login/oauth/access_token",
    "gitlab": "/oauth/token",
}


def _through(place: str, password: str = "") -> dict[str, object]:
    word = {"key": "given_outbound_proxy_password", "value": password}
    return {"place": place, "user": "infisical", "password": word}


class _World:
    """A provider, and a host that asks it."""

    def __init__(self, provider: OAuthProvider, ca: Path, root: Path) -> None:
        self.provider, self.ca, self.host = provider, ca, FakeRunner(root)
        self.keep(_KEY, provider.secret)

    def keep(self, key: str, secret: str) -> Path:
        return self.host.write(f"/etc/infisical/keys/{key}", f"{secret}\n")

    def asked(self, kind: str = "gitlab", **changes: Any) -> dict[str, Any]:
        asked = {
            "url": f"{self.provider.url}{_PATHS[kind]}",
            "client": self.provider.client,
            "secret": {"key": _KEY, "value": changes.pop("secret", "")},
            "callback": _CALLBACK,
            "authorities": self.ca.read_text(),
            "proxy": None,
        }
        return asked | changes

    def prove(self, kind: str = "gitlab", **changes: Any) -> ServerFinding:
        found = answer(question(try_client, **self.asked(kind, **changes)), self.host)
        assert self.provider.secret not in str(found)
        return found


@pytest.fixture
def world(authority: OwnAuthority, tmp_path: Path) -> Iterator[_World]:
    pair = authority.issue("localhost")
    provider = OAuthProvider(certificate=pair.certificate, key=pair.key, callbacks=[_CALLBACK])
    with serving(provider):
        yield _World(provider, authority.ca, tmp_path / "etc")


@pytest.mark.parametrize("kind", _PATHS)
def test_a_client_with_its_secret_is_accepted(world: _World, kind: str) -> None:
    assert world.prove(kind).step == ""


def test_a_provider_is_asked_through_the_proxy(world: _World) -> None:
    world.keep("given_outbound_proxy_password", "fake-password")
    with serving(ForwardProxy(user="infisical:fake-password")) as proxy:
        place = f"127.0.0.1:{proxy.port}"
        assert world.prove(proxy=_through(place)).step == ""
        refused = world.prove(proxy=_through(place, "another"))
    assert refused.step == "unreachable"
    place = world.provider.url.removeprefix("https://")
    assert proxy.requests == [f"CONNECT {place} passed", f"CONNECT {place} login"]


@pytest.mark.parametrize("kind", _PATHS)
@pytest.mark.parametrize("change", [{"client": "another"}, {"secret": "obviously-fake"}])
def test_another_client_or_secret_is_refused(
    world: _World, kind: str, change: dict[str, str]
) -> None:
    assert world.prove(kind, **change).step == "client"


def test_a_certificate_of_an_unknown_authority_is_not_accepted(world: _World) -> None:
    assert world.prove(authorities="").step == "certificate"
    assert [each for each in world.provider.requests if each.startswith("POST")] == []


def test_a_secret_that_the_host_lacks_is_named(world: _World) -> None:
    found = world.prove(proxy=_through(f"127.0.0.1:{free_port()}"))
    assert found == ServerFinding("password", "given_outbound_proxy_password")
    world.host.path(f"/etc/infisical/keys/{_KEY}").unlink()
    assert world.prove() == ServerFinding("password", _KEY)
    assert world.provider.requests == []


def test_an_authority_without_a_key_usage_is_accepted(tmp_path: Path) -> None:
    """Node accepts it too; Python from 3.13 on asks for more by default."""
    authority = OwnAuthority(tmp_path / "plain", has_key_usage=False)
    pair = authority.issue("localhost")
    provider = OAuthProvider(certificate=pair.certificate, key=pair.key, callbacks=[_CALLBACK])
    with serving(provider):
        world = _World(provider, authority.ca, tmp_path / "etc")

        def prove(**changes: Any) -> ServerFinding:
            asked = question(try_client, **world.asked(**changes))
            return answer_by_newest_python(asked, world.host)

        assert prove() == ServerFinding()
        assert prove(authorities="").step == "certificate"


@pytest.mark.parametrize("path", ["/nothing", "/oauth/authorize?client_id=fake-client-id"])
def test_an_answer_of_another_server_proves_nothing(world: _World, path: str) -> None:
    assert world.prove(url=f"{world.provider.url}{path}").step == "unreachable"


def test_a_provider_that_does_not_answer_proves_nothing(world: _World) -> None:
    url = f"https://localhost:{free_port()}/oauth/token"
    assert world.prove(url=url).step == "unreachable"


class _Prover:
    """The product's own use of the test, and the notes that it makes."""

    def __init__(self, world: _World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.journal = world, Journal()
        monkeypatch.setattr(given, "_values", {})
        monkeypatch.setattr(journal, "current", lambda: self.journal)
        monkeypatch.setattr(proof, "ask", lambda asked: answer(asked, world.host))

    def prove(self, secret: str = "", client: str = "", port: int = 0) -> str:
        address = f"https://localhost:{port or self.world.provider.port}"
        gitlab = {"client_id": client or self.world.provider.client, "address": address}
        settings = settings_of(login={"gitlab": gitlab}, extra_ca=str(self.world.ca))
        return proof.prove_login(settings, "gitlab", secret)


@pytest.fixture
def prover(world: _World, monkeypatch: pytest.MonkeyPatch) -> _Prover:
    return _Prover(world, monkeypatch)


def test_the_secret_on_the_host_is_proven(prover: _Prover) -> None:
    prover.prove()
    assert prover.journal.operator_notes == []


def test_a_new_secret_is_proven_instead_of_the_hosts(prover: _Prover) -> None:
    with pytest.raises(RunFailed, match="CLIENT_SECRET_GITLAB_LOGIN") as failed:
        prover.prove(secret="obviously-fake")
    assert failed.value.code == "run.login"
    assert "obviously-fake" not in str(failed.value)


def test_a_provider_that_the_host_can_not_reach_is_noted(prover: _Prover) -> None:
    port = free_port()
    note = prover.prove(port=port)
    assert f"localhost:{port}/oauth/token" in note


@pytest.mark.parametrize(
    ("step", "fact"),
    [
        ("callback", _CALLBACK),
        ("certificate", "extra_ca"),
        ("client", "_GITLAB_LOGIN"),
        ("client", "`infisical-iac keys rotate gitlab`"),
        ("password", "`infisical-iac apply`"),
    ],
)
def test_each_refusal_has_a_remedy(step: str, fact: str) -> None:
    settings = settings_of(login={"gitlab": {"client_id": "fake-client"}})
    assert fact in explain_login_failure(settings, "gitlab", step, "reason")
