"""Test the configuration of sshd, and the parsing of its effective options."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.errors import Refused
from infisical_iac.host import sshd_config
from infisical_iac.host.hardening import hardening_question
from infisical_iac.host.sshd_config import DROP_IN, Sshd
from tests.unit.fake_programs import fake_program, run_with

_OF_DEBIAN_12 = {
    "kex": [
        "diffie-hellman-group1-sha1",
        "curve25519-sha256",
        "sntrup761x25519-sha512@openssh.com",
    ],
    "cipher": ["3des-cbc", "aes256-ctr", "aes256-gcm@openssh.com"],
    "mac": ["hmac-md5", "hmac-sha2-256-etm@openssh.com"],
}


def test_supported_modern_algorithms_are_set_with_the_best_first() -> None:
    options = sshd_config.desired_options(_OF_DEBIAN_12, root_logs_in=True)
    assert options["KexAlgorithms"] == "sntrup761x25519-sha512@openssh.com,curve25519-sha256"
    assert options["Ciphers"] == "aes256-gcm@openssh.com,aes256-ctr"
    assert options["MACs"] == "hmac-sha2-256-etm@openssh.com"


def test_without_any_known_algorithm_sshd_keeps_its_own_list() -> None:
    assert "Ciphers" not in sshd_config.desired_options({"cipher": ["rot13"]}, root_logs_in=True)


def test_root_may_log_in_by_a_key_only_if_root_deploys() -> None:
    assert (
        sshd_config.desired_options({}, root_logs_in=True)["PermitRootLogin"] == "prohibit-password"
    )
    assert sshd_config.desired_options({}, root_logs_in=False)["PermitRootLogin"] == "no"


def test_connections_are_forwarded_only_to_the_loopback() -> None:
    options = sshd_config.desired_options({}, root_logs_in=True)
    assert options["AllowTcpForwarding"] == "local"
    assert options["PermitOpen"].split() == ["127.0.0.1:*", "localhost:*", "[::1]:*"]


_NO_BLOCK_MAY_GIVE = frozenset(
    {
        *("PermitRootLogin", "PasswordAuthentication", "KbdInteractiveAuthentication"),
        *("HostbasedAuthentication", "PermitEmptyPasswords", "AllowTcpForwarding", "PermitOpen"),
        *("AllowStreamLocalForwarding", "AllowAgentForwarding", "X11Forwarding", "PermitTunnel"),
        "GatewayPorts",
    }
)
_A_BLOCK_MAY_SET = frozenset(
    {
        *("PubkeyAuthentication", "StrictModes", "MaxAuthTries", "LoginGraceTime"),
        *("KexAlgorithms", "Ciphers", "MACs", "RequiredRSASize", "PermitUserEnvironment"),
        *("ClientAliveInterval", "ClientAliveCountMax", "TCPKeepAlive"),
        *("LogLevel", "Banner", "DebianBanner"),
    }
)


def test_each_option_is_either_refused_or_accepted_in_a_match_block() -> None:
    """Each new option must be added to a set; options that give access belong to the first."""
    options = sshd_config.desired_options(_OF_DEBIAN_12, root_logs_in=False)
    effective = {name.lower(): value for name, value in options.items()}
    refused = set()
    for name in options:
        lines = (
            sshd_config.Line("/etc/ssh/sshd_config", 1, ("Match", "User", "a")),
            sshd_config.Line("/etc/ssh/sshd_config", 2, (name, "another")),
        )
        try:
            sshd_config.refuse_overruled(options, Sshd(options=effective, lines=lines))
        except Refused:
            refused.add(name)
    assert refused == _NO_BLOCK_MAY_GIVE
    assert options.keys() - refused == _A_BLOCK_MAY_SET


def test_equal_options_in_another_spelling_are_not_refused() -> None:
    options = sshd_config.desired_options(_OF_DEBIAN_12, root_logs_in=True)
    printed = {name.lower(): value for name, value in options.items()}
    sshd_config.refuse_overruled(
        options, Sshd(options=printed | {"permitrootlogin": "without-password"})
    )


def test_an_overruled_option_is_reported_with_its_value() -> None:
    options = {"PasswordAuthentication": "no", "StrictModes": "yes", "MaxAuthTries": "4"}
    effective = {"passwordauthentication": "yes", "strictmodes": "yes", "maxauthtries": "6"}
    with pytest.raises(Refused) as refusal:
        sshd_config.refuse_overruled(options, Sshd(options=effective))
    assert refusal.value.code == "refused.sshd_overruled"
    assert "PasswordAuthentication yes, MaxAuthTries 6 from" in str(refusal.value)


def test_an_option_that_an_older_sshd_does_not_print_is_not_refused() -> None:
    effective = {"passwordauthentication": "no"}
    options = {"PasswordAuthentication": "no", "DebianBanner": "no"}
    sshd_config.refuse_overruled(options, Sshd(options=effective))


def test_a_configuration_that_sshd_can_not_read_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        sshd_config.refuse_overruled({"PasswordAuthentication": "no"}, Sshd())
    assert refusal.value.code == "refused.sshd_broken"


_MAIN, _BAD = "/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/00-bad.conf"
_LATER = "/etc/ssh/sshd_config.d/50-cloud-init.conf"
_INCLUDE = f"line {_MAIN}:12:Include /etc/ssh/sshd_config.d/*.conf"
_NO_PASSWORDS = {"PasswordAuthentication": "no"}


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ([_INCLUDE, f"line {_BAD}:1:PasswordAuthentication yes"], f"{_BAD}, line 1"),
        ([_INCLUDE, f'line {_BAD}:3:  passwordauthentication="yes"  # mine'], f"{_BAD}, line 3"),
        ([f"line {_MAIN}:4:PasswordAuthentication yes", _INCLUDE], f"{_MAIN}, line 4"),
        (
            [
                "line /etc/ssh/sshd_config:1:Include sshd_config.d/*.conf",
                f"line {_BAD}:2:PasswordAuthentication\tyes",
            ],
            f"{_BAD}, line 2",
        ),
    ],
)
@pytest.mark.parametrize("is_ours_there", [True, False])
def test_the_file_that_overrules_ours_is_named(
    lines: list[str], place: str, is_ours_there: bool
) -> None:
    found = sshd_config.parse(["sshd", "option passwordauthentication yes", *lines])
    with pytest.raises(Refused) as refusal:
        (sshd_config.refuse_overruled if is_ours_there else sshd_config.refuse_earlier)(
            _NO_PASSWORDS, found
        )
    assert refusal.value.code == "refused.sshd_overruled"
    assert f"PasswordAuthentication yes because of {place}: " in str(refusal.value)


@pytest.mark.parametrize(
    "lines",
    [
        [_INCLUDE, f"line {_LATER}:1:PasswordAuthentication yes"],
        [_INCLUDE, f"line {_MAIN}:20:PasswordAuthentication yes"],
        [_INCLUDE, f"line {_BAD}:1:PasswordAuthentication no"],
        [_INCLUDE, f"line {DROP_IN}:1:PasswordAuthentication yes"],
    ],
)
def test_our_file_overrules_later_files(lines: list[str]) -> None:
    sshd_config.refuse_earlier(_NO_PASSWORDS, sshd_config.parse(["sshd", *lines]))


def test_a_configuration_that_does_not_include_our_file_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        sshd_config.refuse_earlier(
            _NO_PASSWORDS, sshd_config.parse(["sshd", f"line {_MAIN}:1:StrictModes yes"])
        )
    assert refusal.value.code == "refused.sshd_not_included"


def test_sshds_reason_for_refusing_a_file_is_reported() -> None:
    error = f"{_BAD}: line 1: Bad configuration option: Pasword"
    found = sshd_config.parse(["sshd", f"error {error}"])
    with pytest.raises(Refused) as refusal:
        sshd_config.refuse_overruled(_NO_PASSWORDS, found)
    assert refusal.value.code == "refused.sshd_broken"
    assert error in str(refusal.value)


def test_the_lines_of_sshds_files_are_read_on_the_host(tmp_path: Path) -> None:
    (tmp_path / "sshd_config.d").mkdir()
    (tmp_path / "sshd_config").write_text("# Port 22\n\nInclude /etc/ssh/sshd_config.d/*.conf\n")
    (tmp_path / "sshd_config.d" / "00-bad.conf").write_text("PasswordAuthentication yes\n")
    command = sshd_config.READ_LINES.replace("/etc/ssh", str(tmp_path))
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    lines = ran.stdout.replace(str(tmp_path), "/etc/ssh").splitlines()
    with pytest.raises(Refused, match=r"because of /etc/ssh/sshd_config\.d/00-bad\.conf, line 1"):
        sshd_config.refuse_earlier(_NO_PASSWORDS, sshd_config.parse(lines))


def test_a_connection_by_password_is_not_locked_out() -> None:
    with pytest.raises(Refused) as refusal:
        sshd_config.refuse_without_key("password", authorized=True)
    assert refusal.value.code == "refused.no_key"
    assert "ssh-copy-id" in str(refusal.value)


def test_a_local_run_needs_an_authorized_key() -> None:
    with pytest.raises(Refused) as refusal:
        sshd_config.refuse_without_key("", authorized=False)
    assert refusal.value.code == "refused.no_key"
    assert "~/.ssh/authorized_keys" in str(refusal.value)
    sshd_config.refuse_without_key("", authorized=True)


def test_a_connection_by_key_is_accepted() -> None:
    sshd_config.refuse_without_key("publickey", authorized=False)


@pytest.mark.parametrize("before", [None, "MaxAuthTries 6\n# it's $HOME\n"])
def test_the_rollback_restores_the_file_exactly_and_can_be_repeated(
    tmp_path: Path, before: str | None
) -> None:
    file = tmp_path / "drop-in.conf"
    file.write_text("the change")
    # At the first rollback, systemd reports that sshd failed with the change.
    sshd = 'case "$*" in *is-failed*) test ! -e "$HOST/runs" ;; *) touch "$HOST/runs" ;; esac'
    fake_program(tmp_path, "systemctl", f'echo "$@" >>"$HOST/said"; {sshd}')
    commands = sshd_config.rollback_commands(before).replace(DROP_IN, str(file))
    for _ in range(2):
        run_with(tmp_path, f"set -e\n{commands}", check=True)
        assert (file.read_text() if file.exists() else None) == before
    asked, *calls = (tmp_path / "said").read_text().splitlines()
    assert calls == ["start ssh.service", "try-restart ssh.service", asked, calls[1]]


def test_the_hardening_of_a_host_is_read_in_one_query() -> None:
    units: dict[str, list[str]] = {"infisical-maintenance.timer": []}
    asked = hardening_question(paths=[DROP_IN], units=units, schedule="every now")
    file = {"kind": "regular file", "mode": "644", "owner": "root:root", "sha256": "a" * 64}
    timer = {"loaded": True, "active": True, "enabled": True}
    sshd = [
        "sshd",
        "option passwordauthentication no",
        "option permitopen 127.0.0.1:* localhost:*",
        "kex curve25519-sha256",
        "kex mlkem768x25519-sha256",
        "stale",
        "authorized",
    ]
    of_units = {"infisical-maintenance.timer": timer}
    found = asked.read([{DROP_IN: file}, of_units, ["every now"], sshd])
    assert not found.understood
    assert found.files[DROP_IN].sha256 == "a" * 64
    assert found.units["infisical-maintenance.timer"].active
    assert found.sshd.there
    assert found.sshd.stale
    assert found.sshd.authorized
    assert found.sshd.options["permitopen"] == "127.0.0.1:* localhost:*"
    assert found.sshd.supported == {"kex": ["curve25519-sha256", "mlkem768x25519-sha256"]}


def test_a_host_without_sshd_has_no_state_of_sshd() -> None:
    found = hardening_question(paths=[], units={}, schedule="").read([{}, {}, [], []])
    assert found.understood
    assert not found.sshd.there
    assert not found.sshd.stale


@pytest.mark.parametrize("is_ours_there", [True, False])
@pytest.mark.parametrize("value", ["PasswordAuthentication yes", 'passwordauthentication="yes"'])
def test_a_match_block_that_gives_more_access_is_refused(is_ours_there: bool, value: str) -> None:
    lines = [
        f"line {_LATER}:1:LogLevel INFO",
        f"line {_LATER}:3:Match Address 0.0.0.0/0",
        f"line {_LATER}:4: {value}",
    ]
    ours = [f"line {DROP_IN}:2:PasswordAuthentication no"] if is_ours_there else []
    found = sshd_config.parse(["sshd", "option passwordauthentication no", _INCLUDE, *ours, *lines])
    with pytest.raises(Refused) as refusal:
        (sshd_config.refuse_overruled if is_ours_there else sshd_config.refuse_earlier)(
            _NO_PASSWORDS, found
        )
    assert refusal.value.code == "refused.sshd_overruled"
    assert f"{_LATER}, line 4" in str(refusal.value)
    assert "`Match Address 0.0.0.0/0`" in str(refusal.value)


@pytest.mark.parametrize(
    "line",
    [
        "PasswordAuthentication no",
        "AllowTcpForwarding no",
        "PermitOpen none",
        "PermitRootLogin forced-commands-only",
        "PermitRootLogin without-password",
        "ForceCommand internal-sftp",
        "Banner /etc/issue.net",
    ],
)
def test_a_match_block_that_restricts_access_is_accepted(line: str) -> None:
    options = {
        "PasswordAuthentication": "no",
        "AllowTcpForwarding": "local",
        "PermitOpen": "127.0.0.1:*",
        "PermitRootLogin": "prohibit-password",
        "Banner": "none",
    }
    lines = [_INCLUDE, f"line {_LATER}:1:Match Group sftp", f"line {_LATER}:2:{line}"]
    sshd_config.refuse_earlier(options, sshd_config.parse(["sshd", *lines]))


def test_a_match_block_ends_with_its_file() -> None:
    lines = [
        _INCLUDE,
        f"line {_LATER}:1:Match User fake",
        "line /etc/ssh/sshd_config.d/99-y.conf:1:PasswordAuthentication yes",
    ]
    sshd_config.refuse_earlier(_NO_PASSWORDS, sshd_config.parse(["sshd", *lines]))
