"""Test what is read of the Infisical that is deployed on a host."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from infisical_iac.host.machine import deployed_question
from infisical_iac.host.model import DeployedInfisical
from infisical_iac.stack.compose import compose_file
from tests.unit.agent.fake_runner import FakeRunner, answer
from tests.unit.rendered_stack import TRIXIE, read_deployed, render
from tests.unit.settings_of import settings_of

_SETTINGS: dict[str, Any] = {
    "smtp": {"host": "10.9.0.25", "user": "mailer", "from_address": "iac@example.com"},
    "outbound_proxy": "http://infisical@proxy.internal:3128",
    "login": {"gitlab": {"client_id": "fa$ke", "address": "https://10.9.0.7"}},
    "infisical_environment": {"OTEL_EXPORT_OTLP_ENDPOINT": "http://10.9.0.8:4318/v1/metrics"},
}


@pytest.mark.parametrize("topology", ["single", "swarm"])
def test_variables_are_read_without_the_password_of_the_proxy(topology: str) -> None:
    settings = settings_of(**_SETTINGS)
    single = compose_file(settings, TRIXIE)
    found = read_deployed(single if topology == "single" else yaml.safe_dump(render(**_SETTINGS)))
    assert found.variables.items() >= settings.instance.variables.items()
    assert settings.instance.proxy
    assert found.variables["HTTPS_PROXY"] == settings.instance.proxy.url()
    assert found.services == (("10.9.0.25", 587), ("proxy.internal", 3128))
    assert {*found.addresses} == {"https://10.9.0.7", "http://10.9.0.8:4318/v1/metrics"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "services: {}", "services: [", "services: {redis: {}}"),
        *("no mapping", "services:", "services: {infisical: }", "services: {infisical: broken}"),
        "services: {infisical: {environment: [A=1]}}",
    ],
)
def test_a_host_without_a_stack_has_nothing(text: str) -> None:
    assert read_deployed(text) == DeployedInfisical()
    assert read_deployed(text).services == ()


def test_an_address_that_somebody_broke_is_no_server() -> None:
    variables = {"A": "http://10.9.0.7:99999", "B": "https://[10.9.0.8", "C": "http://10.9.0.9"}
    assert DeployedInfisical(variables).addresses == ("http://10.9.0.9",)


def test_the_file_of_a_cluster_counts_and_keys_without_a_value_do_not(tmp_path: Path) -> None:
    """A single host's file is left behind once the host leads a cluster."""
    host = FakeRunner(tmp_path)
    assert answer(deployed_question(), host) == DeployedInfisical()
    for name, value in (("auth_secret", "x\n"), ("given_smtp_password", "y\n"), ("given_old", "")):
        host.write(f"/etc/infisical/keys/{name}", value)
    for name in ("compose", "stack"):
        text = f"services: {{infisical: {{environment: {{SITE_URL: {name}}}}}}}\n"
        host.write(f"/etc/infisical/{name}.yaml", text)
        given = frozenset({"given_smtp_password"})
        assert answer(deployed_question(), host) == DeployedInfisical(
            {"SITE_URL": name}, given=given
        )
