"""Test that host keys are compared with known_hosts, and accepted by their fingerprints only."""

import subprocess
from base64 import b64encode
from pathlib import Path

import paramiko
import pytest

from infisical_iac.core import host_keys
from infisical_iac.core.errors import Refused, SettingsError, Unreachable
from infisical_iac.core.host_keys import ServerKey, parse_known_hosts
from tests.ports import free_port
from tests.unit.ssh_server import ssh_server

_FILE = Path("/home/you/.ssh/known_hosts")
# Generated once by `ssh-keygen -t ed25519`; `ssh-keygen -lf` printed the fingerprint.
_BASE64 = "AAAAC3NzaC1lZDI1NTE5AAAAIA7B8l/f7QXfgAQRHCvZCSRcRoOu/ZQTG5VTkoPpUWEx"


def _key(name: str = "203.0.113.7", *, base64: str = _BASE64) -> ServerKey:
    return ServerKey(name, "ssh-ed25519", base64)


def _other() -> str:
    return b64encode(b"another key").decode()


def _check(key: ServerKey, *lines: str) -> bool:
    return host_keys.check_key(key, parse_known_hosts("\n".join(lines), _FILE))


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(host_keys.VARIABLE, raising=False)
    monkeypatch.setattr(host_keys, "GLOBAL_FILE", tmp_path / "ssh_known_hosts")


@pytest.mark.parametrize(
    ("type", "kind"),
    [("ssh-ed25519", "ED25519"), ("ecdsa-sha2-nistp256", "ECDSA"), ("ssh-rsa", "RSA")],
)
def test_the_command_names_the_key_file_of_the_type(type: str, kind: str) -> None:
    key = ServerKey("203.0.113.7", type, _BASE64)
    assert str(key) == f"{kind} {key.fingerprint}"
    assert key.command == f"ssh-keygen -lf /etc/ssh/ssh_host_{kind.lower()}_key.pub"


def test_the_fingerprint_is_the_same_as_of_openssh(tmp_path: Path) -> None:
    pair = paramiko.ECDSAKey.generate()
    file = tmp_path / "key.pub"
    file.write_text(f"{pair.get_name()} {pair.get_base64()}\n")
    printed = subprocess.run(["ssh-keygen", "-lf", file], capture_output=True, text=True).stdout
    assert host_keys.compute_fingerprint(pair.get_base64()) == printed.split()[1]


@pytest.mark.parametrize(
    "hosts",
    [
        "203.0.113.7",
        "secrets.example.com,203.0.113.7",
        "203.0.113.*",
        "203.0.113.?",
        "*,!198.51.100.1",
    ],
)
def test_a_key_is_known_by_a_line_with_its_host(hosts: str) -> None:
    assert _check(_key(), "# comment", "", f"{hosts} ssh-ed25519 {_BASE64} a comment")


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"203.0.113.70 ssh-ed25519 {_BASE64}",
        f"[203.0.113.7]:2222 ssh-ed25519 {_BASE64}",
        f"*,!203.0.113.7 ssh-ed25519 {_BASE64}",
        f"#203.0.113.7 ssh-ed25519 {_BASE64}",
        f"@cert-authority 203.0.113.7 ssh-ed25519 {_BASE64}",
        "203.0.113.7 ssh-ed25519",
        f"|1|broken|hash ssh-ed25519 {_BASE64}",
        f"|1| ssh-ed25519 {_BASE64}",
    ],
)
def test_a_key_without_a_line_for_its_host_is_unknown(line: str) -> None:
    assert not _check(_key(), line)


def test_a_port_is_part_of_the_name_in_known_hosts() -> None:
    assert host_keys.name_in_known_hosts("203.0.113.7") == "203.0.113.7"
    assert host_keys.name_in_known_hosts("2001:db8::7", 2222) == "[2001:db8::7]:2222"
    line = f"[203.0.113.7]:2222 ssh-ed25519 {_BASE64}"
    assert _check(_key("[203.0.113.7]:2222"), line)
    assert not _check(_key("[203.0.113.7]:2223"), line)


def test_one_of_several_keys_of_a_host_is_enough() -> None:
    """A host has two keys while its key is replaced."""
    assert _check(
        _key(), f"203.0.113.7 ssh-ed25519 {_other()}", f"203.0.113.7 ssh-ed25519 {_BASE64}"
    )


@pytest.mark.parametrize("type", ["ssh-ed25519", "ssh-rsa"])
def test_a_changed_key_is_refused_with_its_line(type: str) -> None:
    """A server with only another type of key is another server, or an attacker in between."""
    with pytest.raises(Refused) as refused:
        _check(_key(), "# first", f"203.0.113.7 {type} {_other()}")
    assert refused.value.code == "refused.host_key"
    assert f"{_FILE}, line 2" in str(refused.value)
    assert f"ssh-keygen -f {_FILE} -R '203.0.113.7'" in str(refused.value)
    assert host_keys.compute_fingerprint(_BASE64) in str(refused.value)


def test_the_users_own_file_needs_no_name_in_the_command() -> None:
    lines = parse_known_hosts(f"[203.0.113.7]:22022 ssh-rsa {_other()}", host_keys.default_file())
    with pytest.raises(Refused, match=r"`ssh-keygen -R '\[203\.0\.113\.7\]:22022'`"):
        host_keys.check_key(_key("[203.0.113.7]:22022"), lines)


def test_the_error_names_the_line_with_a_key_of_the_same_type() -> None:
    with pytest.raises(Refused, match="line 2"):
        _check(_key(), f"203.0.113.7 ssh-rsa {_other()}", f"203.0.113.7 ssh-ed25519 {_other()}")


def test_a_revoked_key_is_refused_although_it_is_known() -> None:
    with pytest.raises(Refused, match="line 2") as refused:
        _check(
            _key(),
            f"203.0.113.7 ssh-ed25519 {_BASE64}",
            f"@revoked * ssh-ed25519 {_BASE64}",
        )
    assert refused.value.code == "refused.host_key"


def test_a_key_is_added_in_the_form_of_openssh(tmp_path: Path) -> None:
    file = tmp_path / ".ssh" / "known_hosts"
    key = _key("[203.0.113.7]:2222")
    host_keys.add(key, file)
    assert file.read_text() == f"[203.0.113.7]:2222 ssh-ed25519 {_BASE64}\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert host_keys.is_accepted(key, file)


def test_names_are_hashed_in_a_file_with_hashed_names(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"198.51.100.1 ssh-ed25519 {_BASE64}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    host_keys.add(_key("[203.0.113.7]:2222"), file)
    assert "203.0.113.7" not in file.read_text()
    command = ["ssh-keygen", "-F", "[203.0.113.7]:2222", "-f", str(file)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, "line 2" in found.stdout) == (0, True)
    assert host_keys.is_accepted(_key("[203.0.113.7]:2222"), file)
    assert host_keys.is_accepted(_key("198.51.100.1"), file)


def test_a_missing_newline_at_the_end_is_added_first(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"198.51.100.1 ssh-ed25519 {_BASE64}")
    file.chmod(0o644)
    host_keys.add(_key(), file)
    assert [line.split()[0] for line in file.read_text().splitlines()] == [
        "198.51.100.1",
        "203.0.113.7",
    ]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_file_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").mkdir()
    with pytest.raises(Exception, match="known_hosts") as failed:
        host_keys.add(_key(), tmp_path / "known_hosts")
    assert getattr(failed.value, "code", "") == "file"


def test_a_key_in_the_file_of_all_users_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "ssh_known_hosts").write_text(f"203.0.113.7 ssh-ed25519 {_BASE64}\n")
    assert host_keys.is_accepted(_key(), tmp_path / "known_hosts")
    assert not (tmp_path / "known_hosts").exists()


def test_fingerprints_are_separated_by_blanks_or_commas() -> None:
    one, two = host_keys.compute_fingerprint(_BASE64), host_keys.compute_fingerprint(_other())
    assert host_keys.parse_fingerprints([f" {one},{two}=\n", one]) == {one, two}
    assert host_keys.parse_fingerprints([""]) == frozenset()


@pytest.mark.parametrize(
    "text",
    ["yes", "SHA256:", "SHA256:abc", "MD5:16:27:ac:a5", "*", f"SHA256:{'a' * 44}", "a" * 43],
)
def test_a_text_that_is_not_a_fingerprint_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError) as refused:
        host_keys.set_accepted([text])
    assert refused.value.code == "settings.fingerprint"
    monkeypatch.setenv(host_keys.VARIABLE, text)
    with pytest.raises(SettingsError, match=host_keys.VARIABLE):
        host_keys.read_accepted_fingerprints()


def test_only_the_key_with_an_accepted_fingerprint_is_added(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    host_keys.set_accepted([host_keys.compute_fingerprint(_BASE64)])
    assert not host_keys.is_accepted(_key(base64=_other()), file)
    assert not file.exists()
    assert host_keys.is_accepted(_key(), file)
    assert file.read_text().startswith("203.0.113.7 ")


def test_a_changed_key_is_refused_although_its_fingerprint_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"203.0.113.7 ssh-ed25519 {_other()}\n")
    host_keys.set_accepted([host_keys.compute_fingerprint(_BASE64)])
    with pytest.raises(Refused) as refused:
        host_keys.is_accepted(_key(), file)
    assert refused.value.code == "refused.host_key"
    assert file.read_text().count("\n") == 1


@pytest.mark.parametrize("port_is_open", [True, False])
def test_a_server_without_ssh_is_unreachable(port_is_open: bool, tmp_path: Path) -> None:
    with ssh_server(tmp_path, hangs_up=9) as port:
        port = port if port_is_open else free_port()
        with pytest.raises(Unreachable, match=rf"\[127\.0\.0\.1\]:{port}") as failed:
            host_keys.read_key("127.0.0.1", port, seconds=5)
    assert failed.value.code == "unreachable.host"


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
        ("ssh-rsa", "ssh-rsa"),
        ("ssh-ed25519", "ecdsa-sha2-nistp256"),
    ],
)
def test_a_server_shows_a_key_of_the_type_that_is_known(
    known: str, expected: str, tmp_path: Path
) -> None:
    """SSH clients ask for the known type first, so a second key does not make a server unknown."""
    keys = [paramiko.ECDSAKey.generate(), paramiko.RSAKey.generate(2048)]
    with ssh_server(tmp_path, keys=keys) as port:
        name = host_keys.name_in_known_hosts("127.0.0.1", port)
        lines = parse_known_hosts(f"{name} {known} {_BASE64}", _FILE)
        found = host_keys.read_key("127.0.0.1", port, types=host_keys.list_types([name], lines))
    assert (found.name, found.type) == (name, expected)


def test_a_name_that_the_dns_can_not_have_is_unreachable() -> None:
    with pytest.raises(Unreachable) as failed:
        host_keys.read_key(f"{'a' * 64}.example")
    assert failed.value.code == "unreachable.host"
