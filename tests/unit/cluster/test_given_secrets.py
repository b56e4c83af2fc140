"""Test how a cluster's containers get the secrets that the user gave, and extra authorities."""

import subprocess
from pathlib import Path

import pytest
import yaml

from infisical_iac.agent.swarm_stack import secret_text
from infisical_iac.cluster.stack_file import secrets_of
from infisical_iac.cluster.stack_plan import Level
from infisical_iac.core.change import UpToDate
from infisical_iac.instance import proof
from tests.certificates import OwnAuthority
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.rendered_stack import read_deployed, render, swarm_settings

_MAIL = {"host": "smtp.example.com", "user": "infisical", "from_address": "iac@example.com"}
_VALUE = "fa$ke 'pass' \"word\" `x` $(x) \\n #;"


def test_given_secrets_are_among_those_of_infisical() -> None:
    found = secrets_of(swarm_settings(smtp=_MAIL))
    assert found["infisical_env"][-1] == "given_smtp_password"


def test_a_shell_reads_a_given_secret_as_it_is(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.write("/etc/infisical/keys/auth_secret", "not-a-secret\n")
    host.write("/etc/infisical/keys/given_smtp_password", f"{_VALUE}\n")
    text = secret_text(host, ["auth_secret", "given_smtp_password"])
    program = f"set -a\n{text}\nexec printenv SMTP_PASSWORD"
    read = subprocess.run(["sh", "-c", program], capture_output=True, text=True, timeout=20)
    assert read.stdout == f"{_VALUE}\n"


@pytest.mark.parametrize("level", [Level.REQUIRED, Level.PLAIN])
def test_extra_authorities_are_trusted_in_addition_to_those_of_the_cluster(
    tmp_path: Path, level: Level
) -> None:
    file = OwnAuthority(tmp_path).ca
    found = render(inputs={"tls": level}, extra_ca=str(file))
    infisical = found["services"]["infisical"]
    assert {"source": "extra_ca", "target": "/extra-ca.crt"} in infisical["configs"]
    start = infisical["entrypoint"][2]
    if level >= Level.REQUIRED:
        assert "cat /run/secrets/ca.crt /extra-ca.crt >/tmp/ca.crt" in start
        assert "NODE_EXTRA_CA_CERTS=/tmp/ca.crt" in start
    else:
        assert infisical["environment"]["NODE_EXTRA_CA_CERTS"] == "/extra-ca.crt"


def test_mail_is_in_the_environment_without_its_password() -> None:
    environment = render(smtp=_MAIL)["services"]["infisical"]["environment"]
    assert environment["SMTP_HOST"] == "smtp.example.com"
    assert "SMTP_PASSWORD" not in environment


@pytest.mark.parametrize("level", [Level.REQUIRED, Level.PLAIN])
def test_the_proxy_has_its_password_only_in_the_process(tmp_path: Path, level: Level) -> None:
    rendered = render(inputs={"tls": level}, outbound_proxy="http://infisical@proxy.internal:3128")
    infisical = rendered["services"]["infisical"]
    assert "proxy.internal" in infisical["environment"]["NO_PROXY"]
    assert not {"HTTP_PROXY", "OUTBOUND_PROXY_PASSWORD"} & infisical["environment"].keys()
    names = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "OUTBOUND_PROXY_PASSWORD")
    (tmp_path / "env").write_text("".join(f"{name}='fake.password'\n" for name in names))
    (tmp_path / "ca.crt").write_text("fake\n")
    start = infisical["entrypoint"][2].replace("$$", "$").replace("/run/secrets", str(tmp_path))
    done = subprocess.run(["sh", "-c", start, "infisical", "env"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    address = "http://infisical:fake.password@proxy.internal:3128"
    assert (found["HTTP_PROXY"], found["HTTPS_PROXY"]) == (address, address)
    assert "OUTBOUND_PROXY_PASSWORD" not in found
    deployed = read_deployed(yaml.safe_dump(rendered), "given_outbound_proxy_password")
    settings = swarm_settings(outbound_proxy="http://infisical@proxy.internal:3128")
    assert settings.instance.proxy
    (decided,) = proof.decide_proxy(settings, settings.instance.proxy, deployed)
    assert isinstance(decided, UpToDate)
    assert deployed.services == (("proxy.internal", 3128),)
