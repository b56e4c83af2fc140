"""Test the client of registries: pages of tags, logins, digests and errors."""

import gzip
import time
from collections.abc import Iterator

import pytest

from infisical_iac.api.registry import RegistryClient, RegistryCredentials
from infisical_iac.core.errors import Unreachable, UserError
from infisical_iac.core.images import parse_reference
from tests.fake_registry import DIGEST, FakeRegistry, fake_registry

_TAGS = ["1.0", "1.1", "1.2", "2.0", "2.1"]
_LOGIN = RegistryCredentials("reader", "not-a-secret")


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry(tags={"acme/app": _TAGS}) as found:
        yield found


def _client(
    registry: FakeRegistry, *, login: RegistryCredentials | None = None, timeout: float = 10
) -> RegistryClient:
    image = parse_reference(f"{registry.host}/acme/app:1.0")
    return RegistryClient(image, timeout=timeout, login=login)


def test_images_of_docker_hub_use_its_api_host() -> None:
    with RegistryClient(parse_reference("postgres:17"), timeout=1) as client:
        assert client.host == "registry-1.docker.io"


def test_all_pages_of_tags_are_read(registry: FakeRegistry) -> None:
    registry.page = 2
    with _client(registry) as client:
        assert client.list_tags() == _TAGS
    assert len(registry.requests) == 3


def test_a_next_page_on_another_host_is_not_requested(registry: FakeRegistry) -> None:
    """Another host would get the token."""
    registry.page, registry.next_page = 2, "http://127.0.0.2:9/v2/acme/app/tags/list"
    with _client(registry) as client:
        assert client.list_tags() == _TAGS[:2]


def test_endless_pages_are_read_up_to_a_limit(registry: FakeRegistry) -> None:
    registry.page, registry.next_page = 2, "/v2/acme/app/tags/list"
    with _client(registry) as client:
        assert {*client.list_tags()} == {*_TAGS[:2]}
    assert len(registry.requests) == 30


def test_a_public_registry_needs_no_login(registry: FakeRegistry) -> None:
    registry.asks_for_token, registry.page = True, 2
    with _client(registry) as client:
        assert client.list_tags() == _TAGS
    assert registry.logins == [""]
    assert "GET /token?service=fake&scope=repository%3Aasked%3Apull" in registry.requests


def test_a_login_gets_the_token_of_a_private_registry(registry: FakeRegistry) -> None:
    registry.asks_for_token, registry.login = True, ("reader", "not-a-secret")
    with _client(registry, login=RegistryCredentials("reader", "not-a-secret")) as client:
        assert client.list_tags() == _TAGS
    assert registry.logins == ["reader"]


def test_a_login_is_sent_to_no_token_service_without_tls(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.asks_for_token = True
    monkeypatch.setattr(
        "infisical_iac.api.registry.is_confidential", lambda url: "/token" not in url
    )
    with _client(registry, login=_LOGIN) as client:
        assert client.list_tags() == _TAGS
    assert registry.logins == [""]


def test_a_next_page_with_another_scheme_and_port_is_requested_from_the_registry(
    registry: FakeRegistry,
) -> None:
    """A proxy that ends TLS writes http:// into its links."""
    registry.page, registry.next_page = 3, "https://127.0.0.1:9/v2/acme/app/tags/list?last=1.2"
    with _client(registry) as client:
        assert client.list_tags() == _TAGS


def test_a_redirect_target_gets_no_login(registry: FakeRegistry) -> None:
    with fake_registry(asks_for_token=True, tags={"acme/app": _TAGS}) as other:
        registry.redirects_to = f"http://{other.host}"
        with _client(registry, login=_LOGIN) as client, pytest.raises(UserError) as error:
            client.list_tags()
        assert error.value.code == "error.registry_login"
        assert other.logins == []


def test_an_answer_of_the_token_service_is_bounded(registry: FakeRegistry) -> None:
    with fake_registry(body=b" " * 17 * 1024**2) as tokens:
        registry.asks_for_token, registry.realm = True, f"http://{tokens.host}/token"
        with _client(registry) as client, pytest.raises(UserError) as error:
            client.list_tags()
    assert error.value.code == "error.no_registry"


@pytest.mark.parametrize("realm", ["http://[bad/", "ftp://127.0.0.1/", "http://127.0.0.1:9/"])
def test_a_token_service_that_cannot_be_asked_is_an_error(
    registry: FakeRegistry, realm: str
) -> None:
    registry.asks_for_token, registry.realm = True, realm
    with _client(registry) as client, pytest.raises(UserError) as error:
        client.list_tags()
    assert error.value.code in ("unreachable.registry", "error.registry_login")


def test_malformed_tags_are_skipped(registry: FakeRegistry) -> None:
    registry.tags["acme/app"] = ["1.0", "1" * 5000]
    with _client(registry) as client:
        assert client.list_tags() == ["1.0"]


def test_the_digest_of_a_tag_is_read_without_a_pull(registry: FakeRegistry) -> None:
    with _client(registry) as client:
        assert client.read_digest("1.1") == DIGEST
    assert registry.requests == ["HEAD /v2/acme/app/manifests/1.1"]


def test_a_digest_is_computed_if_the_registry_names_none(registry: FakeRegistry) -> None:
    registry.names_digest = False
    with _client(registry) as client:
        assert client.read_digest("1.1") == DIGEST


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "error.registry_login"),
        (403, "error.registry_login"),
        (404, "error.no_image"),
        (429, "error.registry_limit"),
        (500, "error.registry_failure"),
        (503, "error.registry_failure"),
    ],
)
def test_an_error_of_the_registry_has_a_code(
    registry: FakeRegistry, status: int, code: str
) -> None:
    registry.status = status
    with _client(registry) as client, pytest.raises(UserError) as error:
        client.list_tags()
    assert error.value.code == code
    assert registry.host in str(error.value)


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"tags": 1}', b"{}", gzip.compress(b"x", mtime=0)]
)
def test_a_malformed_list_of_tags_is_an_error(registry: FakeRegistry, body: bytes) -> None:
    registry.body = body
    with _client(registry) as client, pytest.raises(UserError) as error:
        client.list_tags()
    assert error.value.code == "error.no_registry"


def test_the_list_of_an_image_without_tags_is_empty(registry: FakeRegistry) -> None:
    registry.body = b'{"name": "acme/app", "tags": null}'
    with _client(registry) as client:
        assert client.list_tags() == []


def test_a_registry_that_stalls_is_reported_after_the_timeout(registry: FakeRegistry) -> None:
    registry.stalls = True
    began = time.monotonic()
    with _client(registry, timeout=0.3) as client, pytest.raises(Unreachable) as error:
        client.list_tags()
    assert error.value.code == "unreachable.registry"
    assert time.monotonic() - began < 10
    assert registry.host in str(error.value)


def test_a_registry_that_refuses_connections_is_reported() -> None:
    with (
        RegistryClient(parse_reference("127.0.0.1:9/a/b:1"), timeout=5) as client,
        pytest.raises(Unreachable) as error,
    ):
        client.list_tags()
    assert error.value.code == "unreachable.registry"
