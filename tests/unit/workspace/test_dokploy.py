"""Test the delivery of credentials to applications and compose services of Dokploy."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.workspace.credential_file import Credential
from infisical_iac.workspace.delivery import Dokploy as Courier
from infisical_iac.workspace.targets import DokployTarget
from tests.dokploy.server import ID, KEY, Dokploy, serving

HELD = Credential("production", "client-1", "secret-1", "fake-secret")
OTHERS = '# others\nDATABASE_HOST="db # 1"\nPORT=8080'
OURS = (
    "INFISICAL_CLIENT_ID='client-1'\nINFISICAL_CLIENT_SECRET='fake-secret'\n"
    "INFISICAL_ENVIRONMENT='production'\nNODE_ENV='production'\n"
)


@pytest.fixture(params=["application", "compose"])
def dokploy(request: pytest.FixtureRequest) -> Iterator[Dokploy]:
    """A service of each kind with its own variables."""
    with serving(Dokploy(request.param, {"env": OTHERS})) as server:
        yield server


@pytest.fixture
def application() -> Iterator[Dokploy]:
    """An application with its own texts for the build."""
    service: dict[str, Any] = {"env": OTHERS, "buildArgs": "A=1", "buildSecrets": "B=2"}
    with serving(Dokploy("application", service)) as server:
        yield server


def _courier(dokploy: Dokploy, key: str = KEY, id: str = ID) -> Courier:
    return Courier(DokployTarget.model_validate({"url": dokploy.url, dokploy.kind: id}), key)


def test_login_variables_are_set_and_other_variables_are_kept_byte_for_byte(
    dokploy: Dokploy,
) -> None:
    courier = _courier(dokploy)
    assert courier.differs(HELD)
    courier.deliver(HELD)
    assert dokploy.service["env"] == f"{OTHERS}\n{OURS}"
    assert not courier.differs(HELD)
    courier.deploy()
    assert dokploy.changes == ["saveEnvironment", "deploy"]


def test_an_application_in_staging_keeps_its_node_env_of_production(application: Dokploy) -> None:
    """The loaders take the environment from INFISICAL_ENVIRONMENT, libraries from NODE_ENV."""
    application.service["env"] = "NODE_ENV=production"
    _courier(application).deliver(replace(HELD, environment="staging"))
    env = application.service["env"].splitlines()
    assert (env[0], env[-1]) == ("NODE_ENV=production", "INFISICAL_ENVIRONMENT='staging'")


def test_an_application_with_a_former_delivery_gets_infisical_environment(
    application: Dokploy,
) -> None:
    courier = _courier(application)
    courier.deliver(HELD)
    line = "INFISICAL_ENVIRONMENT='production'\n"
    application.service["env"] = application.service["env"].replace(line, "")
    assert courier.differs(HELD)
    assert courier.deliver(HELD)
    assert line in application.service["env"]


def test_the_key_of_a_dokploy_on_this_machine_passes_no_proxy(
    dokploy: Dokploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would see the key and the credentials unencrypted."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert _courier(dokploy).differs(HELD)


def test_a_service_without_variables_gets_the_login_variables(dokploy: Dokploy) -> None:
    dokploy.service["env"] = None
    _courier(dokploy).deliver(HELD)
    assert dokploy.service["env"] == OURS


def test_an_application_keeps_its_build_texts_and_puts_no_file_into_its_image(
    application: Dokploy,
) -> None:
    _courier(application).deliver(HELD)
    kept = {key: application.service[key] for key in ("buildArgs", "buildSecrets")}
    assert kept == {"buildArgs": "A=1", "buildSecrets": "B=2"}
    assert application.service["createEnvFile"] is False


def test_an_application_that_copies_variables_into_its_image_is_not_up_to_date(
    application: Dokploy,
) -> None:
    courier = _courier(application)
    courier.deliver(HELD)
    application.service["createEnvFile"] = True
    assert courier.differs(HELD)


def test_a_compose_service_whose_variables_reach_no_container_is_refused() -> None:
    with (
        serving(Dokploy("compose", {"createEnvFile": False})) as server,
        pytest.raises(UserError, match="environment file turned off"),
    ):
        _courier(server).check()


def test_a_service_that_hides_its_variables_is_not_changed(dokploy: Dokploy) -> None:
    del dokploy.service["env"]
    with pytest.raises(UserError, match=f"^{dokploy.kind} {ID} of Dokploy") as refused:
        _courier(dokploy).deliver(HELD)
    assert refused.value.code == "error.hidden_variables"
    assert dokploy.changes == []


def test_unusable_variables_are_reported_before_any_change(
    dokploy: Dokploy,
) -> None:
    dokploy.service["env"] = "PASSWORD=hunter\nKEY:"
    with pytest.raises(UserError, match="an unfinished line") as refused:
        _courier(dokploy).check()
    assert "hunter" not in str(refused.value)


def test_variables_that_were_not_saved_are_reported(dokploy: Dokploy) -> None:
    dokploy.forgets = True
    with pytest.raises(UserError, match=f"^{dokploy.kind} {ID} of Dokploy") as failed:
        _courier(dokploy).deliver(HELD)
    assert failed.value.code == "error.not_saved"


def test_a_wrong_key_and_a_wrong_id_have_different_errors(dokploy: Dokploy) -> None:
    with pytest.raises(UserError, match="DOKPLOY_API_KEY") as refused:
        _courier(dokploy, key="another-fake-key").check()
    assert refused.value.code == "error.dokploy_key"
    assert "another-fake-key" not in str(refused.value)
    with pytest.raises(UserError, match=f"{dokploy.kind} elsewhere: copy its id") as missing:
        _courier(dokploy, id="elsewhere").check()
    assert missing.value.code == "error.dokploy_service"


def test_no_request_is_sent_without_a_key(dokploy: Dokploy) -> None:
    with pytest.raises(UserError, match="DOKPLOY_API_KEY is not set"):
        _courier(dokploy, key="")
    assert dokploy.requests == []


@pytest.mark.parametrize("status", [302, 403, 500])
def test_an_error_contains_nothing_of_an_answer(dokploy: Dokploy, status: int) -> None:
    dokploy.broken = status
    with pytest.raises(UserError) as failed:
        _courier(dokploy).check()
    assert dokploy.url in str(failed.value)
    assert "DATABASE_HOST" not in str(failed.value)


def test_a_silent_server_is_reported() -> None:
    gone = Dokploy(url="http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"does not answer \(ConnectError\)"):
        _courier(gone).check()
