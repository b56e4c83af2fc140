"""Test the running sshd, and the configuration that it loads at its next start."""

import paramiko
import pytest

from infisical_iac.host import sshd_config
from infisical_iac.host.hardening import hardening_question
from tests.host.connection import Connection, Host

# An address for documentation.
ELSEWHERE = "192.0.2.1"


@pytest.fixture(scope="session")
def effective(host: Host) -> dict[str, str]:
    """The effective options of sshd's files."""
    lines = host.check_output("sshd -T").splitlines()
    return dict(sshd_config.parse(f"option {line}" for line in lines).options)


@pytest.fixture(scope="session")
def ssh(connection: Connection) -> paramiko.Transport:
    """The SSH connection; a check of it is skipped if the tests run on the host itself."""
    if connection.ssh is None:
        pytest.skip("the checks run on the host itself, without SSH")
    return connection.ssh


@pytest.fixture(scope="session")
def methods(ssh: paramiko.Transport) -> list[str]:
    """The methods of authentication that the server offers to a new connection."""
    peer = ssh.getpeername()
    with paramiko.Transport(peer[:2]) as transport:
        transport.start_client(timeout=20)
        with pytest.raises(paramiko.BadAuthenticationType) as refusal:
            transport.auth_none(ssh.get_username() or "root")
    return list(refusal.value.allowed_types)


@pytest.mark.usefixtures("hardening")
def test_logins_are_possible_only_by_key(methods: list[str]) -> None:
    assert methods == ["publickey"]


@pytest.mark.usefixtures("hardening")
def test_the_server_does_not_report_its_distribution(ssh: paramiko.Transport) -> None:
    assert ssh.remote_version.startswith("SSH-2.0-")
    assert "Debian" not in ssh.remote_version


@pytest.mark.usefixtures("hardening")
def test_an_ordinary_connection_can_not_forward_to_other_hosts(
    ssh: paramiko.Transport,
) -> None:
    with pytest.raises(paramiko.ChannelException) as refusal:
        ssh.open_channel("direct-tcpip", (ELSEWHERE, 80), ("127.0.0.1", 0), timeout=20)
    assert refusal.value.code == 1, "administratively prohibited, RFC 4254 section 5.1"


def test_sftp_works(ssh: paramiko.Transport) -> None:
    with paramiko.SFTPClient.from_transport(ssh) or pytest.fail("no SFTP") as sftp:
        assert "passwd" in sftp.listdir("/etc")


@pytest.mark.usefixtures("hardening")
@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("passwordauthentication", ("no",)),
        ("kbdinteractiveauthentication", ("no",)),
        ("permitrootlogin", ("no", "without-password")),
        ("permitemptypasswords", ("no",)),
        ("x11forwarding", ("no",)),
        ("allowagentforwarding", ("no",)),
        ("allowtcpforwarding", ("local",)),
        ("permittunnel", ("no",)),
        ("gatewayports", ("no",)),
        ("permituserenvironment", ("no",)),
    ],
)
def test_an_option_has_a_strict_value(
    effective: dict[str, str], option: str, values: tuple[str, ...]
) -> None:
    assert effective[option] in values


@pytest.mark.usefixtures("hardening")
@pytest.mark.parametrize("option", ["kexalgorithms", "ciphers", "macs"])
@pytest.mark.parametrize("weak", ["sha1", "md5", "cbc", "group14", "nistp", "umac-64"])
def test_no_algorithm_is_weak(effective: dict[str, str], option: str, weak: str) -> None:
    assert effective[option]
    assert weak not in effective[option]


@pytest.mark.usefixtures("hardening")
def test_sshd_runs_with_the_configuration_on_disk(connection: Connection) -> None:
    drop_in = "/etc/ssh/sshd_config.d/00-infisical-iac.conf"
    found = connection.inspect(hardening_question(paths=[drop_in], units={}, schedule=""))
    assert drop_in in found.files
    assert found.sshd.there
    assert not found.sshd.stale
