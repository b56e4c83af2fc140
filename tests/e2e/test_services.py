"""Test that the example's services start from Infisical with their credentials only."""

from collections.abc import Iterator

import pytest

from tests.example.world import GREETING, World, world
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_TRY_AGAIN = 75


@pytest.fixture(scope="module")
def services(deployed_host: StagingHost) -> Iterator[World]:
    """Both services, running."""
    with world(deployed_host) as made:
        assert made.backend.start() is None, made.backend.output
        assert made.forecasts.start() is None, made.forecasts.output
        yield made


def test_both_services_answer_with_their_secrets_from_infisical(services: World) -> None:
    joined = services.backend.graphql('mutation { join(name: "Ada") { greeting } }')
    assert joined["join"]["greeting"] == GREETING.replace("${name}", "Ada")
    token = services.join("Grace")
    members = services.backend.graphql("{ members { name } }")["members"]
    assert {"name": "Ada"} in members
    assert {"name": "Grace"} in members
    assert services.forecasts.get("/ready").json() == {"ready": True}
    forecast = services.forecasts.get("/forecast", token).json()
    assert forecast == {"for": "Grace", "options": {"model": "demand-v2", "horizon": 28}}
    assert services.forecasts.get("/forecast", "not-a-token").status_code == 401


def test_the_services_directories_hold_no_secret_but_the_credentials(services: World) -> None:
    for service in (services.backend, services.forecasts):
        lines = (service.directory / ".env.local").read_text().splitlines()
        names = [line.partition("=")[0] for line in lines if not line.startswith("#")]
        assert names == [
            *("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET"),
            *("INFISICAL_ENVIRONMENT", "NODE_ENV"),
        ]
        assert "fake-first-jwt-secret" not in service.output


def test_a_rotated_secret_is_used_from_the_next_start(services: World) -> None:
    old = services.join("Ada")
    services.sign_tokens_with("fake-second-jwt-secret")
    assert services.forecasts.get("/forecast", old).status_code == 200
    assert services.backend.restart() is None
    assert services.forecasts.restart() is None
    assert services.forecasts.get("/forecast", old).status_code == 401
    assert services.forecasts.get("/forecast", services.join("Ada")).status_code == 200
    assert services.backend.graphql("{ me { name } }", old)["me"] is None


def test_without_infisical_services_go_on_running_and_start_only_from_the_cache(
    services: World,
) -> None:
    with services.infisical.stop_temporarily():
        assert services.forecasts.get("/forecast", services.join("Ada")).status_code == 200
        assert services.backend.restart() == _TRY_AGAIN
        assert f"{services.infisical.address} can't be reached" in services.backend.output
        assert services.forecasts.restart() is None
        assert "cache" in services.forecasts.output
        assert services.forecasts.get("/ready").json() == {"ready": True}
    assert services.backend.restart() is None
