"""Test the wording of messages. Other tests assert codes and facts."""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from infisical_iac.core import connection, host_keys, lock
from infisical_iac.core.connection import HOST_REFUSES, explain_loss
from infisical_iac.core.errors import CommandFailed, Refused, RunFailed, SettingsError, UserError
from infisical_iac.core.host_keys import KnownHost, ServerKey
from infisical_iac.core.schema import Removed, Renamed, explain_version
from infisical_iac.core.settings import load
from infisical_iac.hetzner.production import production_host
from infisical_iac.workspace.load import load as load_project
from tests.unit import forked
from tests.unit.core.test_compatibility import HEAD, SCHEMA
from tests.unit.settings_of import defaults

if TYPE_CHECKING:
    from pyinfra.api.host import Host


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"infisical_verison": "v1"},
            "'infisical_verison' is unknown: did you mean 'infisical_version'?",
        ),
        ({"colour": "red"}, "'colour' is unknown: `infisical-iac docs settings` lists all"),
        (
            {"schema_version": 2},
            "'schema_version': 2 was written for a newer infisical-iac, and this one reads 1: "
            "upgrade infisical-iac",
        ),
        (
            {"admin_email": ""},
            "'admin_email': is not set; put the first administrator's address in your settings, "
            "such as group_data/hetzner.py",
        ),
        (
            {"infisical_memory": "640m"},
            "infisical_memory is 640m, but this release keeps crashing with less than 768m: give "
            "it at least that",
        ),
        (
            {"infisical_memory": "2"},
            "'infisical_memory': '2' has no unit; write '2g' for gigabytes",
        ),
        ({"infisical_cpus": -1}, "'infisical_cpus': -1 must be a number above 0"),
        ({"start_timeout": 1}, "'start_timeout': 1 seconds are too few; write 10 or more"),
        (
            {"keep_releases": 0},
            "'keep_releases': 0 leaves no release to go back to; keep at least 1",
        ),
        (
            {"ssh_networks": ()},
            "'ssh_networks': is empty, which lets nobody in; for everybody write ('0.0.0.0/0', "
            "'::/0')",
        ),
        (
            {"ssh_networks": ("home",)},
            "'ssh_networks': 'home' is not a network; write one such as 203.0.113.0/24 or "
            "2001:db8::/32",
        ),
        (
            {"ssh_networks": ("10.1.2.3/8",)},
            "'ssh_networks': '10.1.2.3/8' is an address within a network; write 10.0.0.0/8",
        ),
        (
            {"site_url": "https://x.example/a"},
            "'site_url': 'https://x.example/a' has more than scheme, host and port; write only "
            "those",
        ),
        (
            {"infisical_image": "infisical/infisical:v1"},
            "'infisical_image': 'infisical/infisical:v1' is not an image name; write one such as "
            "infisical/infisical, and its tag in infisical_version",
        ),
        (
            {"server_name": "My Server"},
            "'server_name': 'My Server' is not a host name; write small letters, digits, hyphens",
        ),
        (
            {"server_type": "CX 33"},
            "'server_type': 'CX 33' is not a name at Hetzner; write one such as cx33",
        ),
        (
            {"server_ssh_keys": ("~/.ssh/id",)},
            "'server_ssh_keys.0': '~/.ssh/id' is not a public key file; write one that ends in "
            ".pub, or the name of a key at Hetzner Cloud",
        ),
        (
            {"data_volume": "sdb"},
            "'data_volume': 'sdb' is not a block device; write one such as "
            "/dev/disk/by-id/scsi-0HC_Volume_1234567, or nothing",
        ),
    ],
)
def test_wording_of_invalid_values(given: dict[str, Any], sentence: str) -> None:
    assert _refuse(given) == f"setting {sentence}"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"server_ssh_keys": "ada"},
            "'server_ssh_keys': 'ada' is not a tuple; write ('ada',), with the comma",
        ),
        (
            {"backup_targets": ("/var/backups",)},
            "'backup_targets.0': '/var/backups' is not a dictionary; write {'name': 'local', "
            "'repository': '/var/backups'}",
        ),
        (
            {"backup_targets": ({"name": "a"},)},
            "'backup_targets.0.repository': is not set; write one such as '/var/backups/infisical'",
        ),
        (
            {"backup_keep": {"dayly": 7}},
            "'backup_keep.dayly': is unknown: did you mean 'daily'?",
        ),
        (
            {"ingress": ("none",)},
            "'ingress': ('none',) is a tuple; write 'none', without the comma",
        ),
        (
            {"ui_networks": None},
            '\'ui_networks\': None is not a tuple; write one such as ("one", "other"), a single '
            'one as ("one",), () for none',
        ),
        ({"http_port": "abc"}, "'http_port': 'abc' is not a whole number; write one such as 10"),
        (
            {"infisical_cpus": "abc"},
            "'infisical_cpus': 'abc' is not a number; write one such as 0.5",
        ),
        ({"server_ipv4": "maybe"}, "'server_ipv4': 'maybe' is not a boolean; write True or False"),
        ({"acme_email": 5}, "'acme_email': 5 is not text; write it in quotes: '5'"),
        (
            {"site_url": None},
            "'site_url': None is not text; write it in quotes, or leave it out",
        ),
        ({"swap": "on"}, "'swap': 'on' is not accepted; write 'off' or 'keep'"),
        ({"redis_memory": "512MB"}, "'redis_memory': '512MB' is not a size; write '512m'"),
    ],
)
def test_wording_of_values_of_the_wrong_kind(given: dict[str, Any], sentence: str) -> None:
    assert _refuse(given) == f"setting {sentence}"


def _refuse(given: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as refused:
        load(defaults(**given))
    return str(refused.value)


def test_wording_of_renamed_and_removed_keys() -> None:
    renamed = Renamed("domain", "site_url", "0.2.0")
    assert str(renamed) == "was renamed to 'site_url' in 0.2.0"
    assert renamed.both == ("was renamed to 'site_url' in 0.2.0, and both are set; remove 'domain'")
    remedy = "set INFISICAL_ADMIN_PASSWORD on the first run"
    assert str(Removed("admin_password", remedy, "0.3.0")) == (
        "was removed in 0.3.0; set INFISICAL_ADMIN_PASSWORD on the first run"
    )


def test_wording_of_an_older_file() -> None:
    first, *_ = str(explain_version(1, SCHEMA)).splitlines()
    assert first == (
        "1 is older than 3, which this infisical-iac reads: `infisical-iac init --upgrade` makes "
        "these changes, or make them and write 3"
    )


def test_wording_of_an_unknown_key_of_the_project_file() -> None:
    with pytest.raises(UserError) as refused:
        load_project(f"{HEAD}ttl: 900\n")
    assert str(refused.value).startswith(
        "the project file, line 3, ttl: this key is unknown; there are: project, "
    )


def test_wording_of_blocked_parts() -> None:
    planned = forked.run("tests.unit.blocked_run", "one", "Make keys")["planned"]
    assert [each for each in planned if each.startswith("! ")][:2] == [
        "! Make keys: blocked: no Make keys because of /a/file",
        "! Stack: blocked: needs 'Make keys', which is blocked",
    ]
    ended = forked.run("tests.unit.blocked_run", "one", "Harden SSH,Configure backups")
    assert ended["error"] == (
        "Harden SSH: blocked: no Harden SSH because of /a/file; "
        "Configure backups: blocked: no Configure backups because of /a/file"
    )


def test_wording_of_a_lost_connection() -> None:
    host: Any = SimpleNamespace(name="203.0.113.7")
    assert explain_loss(host, EOFError(), "run again") == (
        "the connection to 203.0.113.7 was lost (EOFError): run again"
    )


def test_wording_of_an_unusable_file() -> None:
    host: Any = SimpleNamespace(name="203.0.113.7")
    error = FileNotFoundError(2, "No such file or directory", "missing.txt")
    assert explain_loss(host, error, "run again") == (
        "missing.txt on this machine can't be used: No such file or directory"
    )


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            CommandFailed("could not change it: no reason given"),
            "could not change it: no reason given; the change of the door was undone",
        ),
        (
            EOFError(),
            "the connection was lost while the door was changed (EOFError): the host rolls it back "
            "within 60 s; run again then",
        ),
    ],
)
def test_wording_of_a_change_that_was_not_kept(
    monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def change() -> None:
        raise error

    monkeypatch.setattr(connection, "run", lambda *_, **__: "")
    with pytest.raises(RunFailed) as failed:
        connection.try_change("door", change, back="true\n")
    assert str(failed.value) == sentence


def test_wording_of_a_lock_that_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ("busy by ada@laptop since noon, process 7", lambda: None)
    monkeypatch.setattr(lock, "_ask_here", lambda *_: answer)
    here: Any = SimpleNamespace(data={}, connector=None)
    with pytest.raises(Refused) as refused:
        lock._take(here, 0, False, named="")
    assert str(refused.value) == (
        "another run is at work on this host, by ada@laptop since noon, process 7: wait for it to "
        "end; if it can't be running any more, `infisical-iac apply --break-lock`, or "
        "`pkill -f /run/infisical-iac.lock` on the host, releases the lock"
    )


def test_wording_of_a_server_that_was_not_adopted(monkeypatch: pytest.MonkeyPatch) -> None:
    host = SimpleNamespace(name="one", data={HOST_REFUSES: "adopt it"}, connector=None)
    host.state = SimpleNamespace(inventory=[host], active_hosts=[host])
    monkeypatch.setattr(lock, "_skipped", set())
    with pytest.raises(Refused) as refused:
        lock.take(cast("Host", host))
    assert str(refused.value) == "adopt it; nothing was done"


@pytest.mark.parametrize(
    ("key", "port", "sentence"),
    [
        (
            "/nowhere/id",
            "22",
            "INFISICAL_SSH_KEY, or ssh_key in hetzner.py: there is no file /nowhere/id; write the "
            "path of your private SSH key",
        ),
        (
            "id.pub",
            "22",
            "INFISICAL_SSH_KEY, or ssh_key in hetzner.py: id.pub is the public key; write the "
            "path of the private one",
        ),
        (
            "",
            "ssh",
            "INFISICAL_SSH_PORT, or ssh_port in hetzner.py, is 'ssh': set it to a number such as "
            "22",
        ),
    ],
)
def test_wording_of_unusable_connection_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str, port: str, sentence: str
) -> None:
    for name in ("SSH_USER", "DATA_VOLUME"):
        monkeypatch.delenv(f"INFISICAL_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("INFISICAL_HOST", "203.0.113.7")
    monkeypatch.setenv("INFISICAL_SSH_KEY", key)
    monkeypatch.setenv("INFISICAL_SSH_PORT", port)
    Path("id.pub").touch()
    with pytest.raises(SystemExit) as ended:
        production_host(Path("hetzner.py"))
    assert str(ended.value) == sentence


_HOST_KEY = ServerKey("203.0.113.7", "ssh-ed25519", "AAAA")
_FINGERPRINT = "SHA256:cJ6AyISHokEeHuTfufIqhhSS0gxHZRUMDHlKvXD4FHw"


def _parse_line(base64: str, *, file: str = "known_hosts", marker: str = "") -> list[KnownHost]:
    return [KnownHost(Path(file), 3, marker, "203.0.113.7", "ssh-ed25519", base64)]


@pytest.mark.parametrize(
    ("accepted", "sentence", "remedy"),
    [
        (
            "",
            f"unknown host key of 203.0.113.7 (ED25519 {_FINGERPRINT})",
            "if `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows the same on the host, "
            f"give --accept-host-key {_FINGERPRINT} (or set INFISICAL_IAC_ACCEPT_HOST_KEY), or run "
            "`infisical-iac plan` in a terminal and answer with yes",
        ),
        (
            "SHA256:…",
            f"unknown host key of 203.0.113.7 (ED25519 {_FINGERPRINT}) and not among the accepted "
            "ones",
            "",
        ),
    ],
)
def test_wording_of_an_unknown_host_key(accepted: str, sentence: str, remedy: str) -> None:
    found = host_keys.refuse_unknown([_HOST_KEY], [accepted] if accepted else []).split()
    assert (found[0], remedy or found[1]) == (sentence, found[1])


@pytest.mark.parametrize(
    ("lines", "sentence", "remedy"),
    [
        (
            _parse_line("BBBB"),
            "203.0.113.7 answers with another host key than the one in known_hosts, line 3 "
            f"(ED25519 {_FINGERPRINT}), and somebody may intercept the connection",
            "if the server was really reinstalled, `ssh-keygen -f known_hosts -R '203.0.113.7'` "
            "removes the old key",
        ),
        (
            _parse_line("AAAA", marker="@revoked"),
            f"203.0.113.7 answers with a host key (ED25519 {_FINGERPRINT}) that line 3 of "
            "known_hosts revokes",
            "give the server another key",
        ),
    ],
)
def test_wording_of_a_refused_host_key(lines: list[KnownHost], sentence: str, remedy: str) -> None:
    with pytest.raises(Refused) as refused:
        host_keys.check_key(_HOST_KEY, lines)
    assert refused.value.split() == (sentence, remedy)
