"""sshd as it answers on the wire, and as it would after its next start."""

import paramiko
import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.host import sshd_config
from infisical_iac.host.hardening import Hardening
from tests.host.connection import Connection, Host

# An address that belongs to nobody.
ELSEWHERE = "192.0.2.1"


@pytest.fixture(scope="session")
def effective(host: Host) -> dict[str, str]:
    """Return what sshd makes of its files, by option."""
    lines = host.check_output("sshd -T").splitlines()
    return dict(sshd_config.parse(f"option {line}" for line in lines).options)


@pytest.fixture(scope="session")
def methods(connection: Connection) -> list[str]:
    """Return how somebody may log in, as a new connection is told; none where there is no SSH."""
    if connection.ssh is None:
        return []
    peer = connection.ssh.getpeername()
    with paramiko.Transport(peer[:2]) as transport:
        transport.start_client(timeout=20)
        with pytest.raises(paramiko.BadAuthenticationType) as refusal:
            transport.auth_none(connection.ssh.get_username() or "root")
    return list(refusal.value.allowed_types)


def test_a_key_is_the_only_way_in(settings: Settings, methods: list[str]) -> None:
    assert settings.hardening == "off" or methods in ([], ["publickey"])


def test_the_server_tells_no_more_of_itself_than_its_release(
    settings: Settings, connection: Connection
) -> None:
    version = connection.ssh.remote_version if connection.ssh else ""
    assert settings.hardening == "off" or "Debian" not in version


def test_an_ordinary_connection_can_not_be_used_to_get_at_other_hosts(
    settings: Settings, connection: Connection
) -> None:
    if connection.ssh is None or settings.hardening == "off":
        return
    with pytest.raises(paramiko.ChannelException) as refusal:
        connection.ssh.open_channel("direct-tcpip", (ELSEWHERE, 80), ("127.0.0.1", 0), timeout=20)
    assert refusal.value.code == 1, "administratively prohibited, RFC 4254 section 5.1"


def test_files_can_be_copied(connection: Connection) -> None:
    if connection.ssh is None:
        return
    with paramiko.SFTPClient.from_transport(connection.ssh) or pytest.fail("no SFTP") as sftp:
        assert "passwd" in sftp.listdir("/etc")


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
def test_an_option_is_strict(
    settings: Settings, effective: dict[str, str], option: str, values: tuple[str, ...]
) -> None:
    assert settings.hardening == "off" or effective[option] in values


@pytest.mark.parametrize("option", ["kexalgorithms", "ciphers", "macs"])
@pytest.mark.parametrize("weak", ["sha1", "md5", "cbc", "group14", "nistp", "umac-64"])
def test_no_algorithm_is_weak(
    settings: Settings, effective: dict[str, str], option: str, weak: str
) -> None:
    assert settings.hardening == "off" or weak not in effective[option]


def test_sshd_has_read_its_configuration(host: Host, settings: Settings) -> None:
    fact = Hardening()
    command = fact.command([sshd_config.DROP_IN], {}, "")
    found = fact.process(host.check_output(command).splitlines())
    assert settings.hardening == "off" or not found.sshd.stale
