"""What sshd allows: keys only, modern algorithms, and no forwarding beyond the host itself."""

import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from infisical_iac.errors import UserError

DROP_IN = "/etc/ssh/sshd_config.d/00-infisical-iac.conf"
RELOAD = "systemctl try-reload-or-restart ssh.service"

# By the option, the kind that `ssh -Q` lists, and in the order in which they are offered. Without
# an exchange of groups, short moduli in /etc/ssh/moduli are of no use to anybody.
_ALGORITHMS = {
    "KexAlgorithms": (
        "kex",
        (
            "mlkem768x25519-sha256",
            "sntrup761x25519-sha512",
            "sntrup761x25519-sha512@openssh.com",
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            "diffie-hellman-group16-sha512",
            "diffie-hellman-group18-sha512",
        ),
    ),
    "Ciphers": (
        "cipher",
        (
            "chacha20-poly1305@openssh.com",
            "aes256-gcm@openssh.com",
            "aes128-gcm@openssh.com",
            "aes256-ctr",
            "aes128-ctr",
        ),
    ),
    "MACs": (
        "mac",
        (
            "hmac-sha2-512-etm@openssh.com",
            "hmac-sha2-256-etm@openssh.com",
            "umac-128-etm@openssh.com",
        ),
    ),
}
QUERIES = tuple(kind for kind, _ in _ALGORITHMS.values())


class SshError(UserError):
    """sshd can't be made what it should be without locking somebody out."""


@dataclass(frozen=True)
class Sshd:
    """OpenSSH's server as it is on the host.

    Attributes:
        there: whether it is installed.
        options: what it would take from its files, by the option's name in lower case, as `sshd -T`
            prints them.
        supported: what `ssh -Q` lists, by the kind.
        stale: whether our file was written since the server last read it.
        authorized: whether root, or who became root by sudo, has keys to log in with.
    """

    there: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    supported: Mapping[str, Collection[str]] = field(default_factory=dict)
    stale: bool = False
    authorized: bool = False


def wanted(supported: Mapping[str, Collection[str]], *, root_logs_in: bool) -> dict[str, str]:
    """The options and their values.

    Args:
        supported: by kind, the algorithms that the host's OpenSSH has.
        root_logs_in: whether root deploys; else root can't log in at all.
    """
    return {
        "PermitRootLogin": "prohibit-password" if root_logs_in else "no",
        "PubkeyAuthentication": "yes",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "HostbasedAuthentication": "no",
        "PermitEmptyPasswords": "no",
        "StrictModes": "yes",
        "MaxAuthTries": "4",
        "LoginGraceTime": "30",
        **_algorithms(supported),
        "RequiredRSASize": "2048",
        # The API is reached through the host's loopback address, on whatever port.
        "AllowTcpForwarding": "local",
        "PermitOpen": "127.0.0.1:* localhost:* [::1]:*",
        "AllowStreamLocalForwarding": "no",
        "AllowAgentForwarding": "no",
        "X11Forwarding": "no",
        "PermitTunnel": "no",
        "GatewayPorts": "no",
        "PermitUserEnvironment": "no",
        # Half an hour: who reads a plan before saying yes leaves the connection alone for long.
        "ClientAliveInterval": "900",
        "ClientAliveCountMax": "2",
        "TCPKeepAlive": "no",
        # Which key has let somebody in.
        "LogLevel": "VERBOSE",
        "Banner": "none",
        "DebianBanner": "no",
    }


def _algorithms(supported: Mapping[str, Collection[str]]) -> dict[str, str]:
    known = {
        option: [name for name in names if name in supported.get(kind, ())]
        for option, (kind, names) in _ALGORITHMS.items()
    }
    return {option: ",".join(names) for option, names in known.items() if names}


def drop_in(options: Mapping[str, str]) -> str:
    """The text of the file; sshd takes the first value that it reads, and so reads it first."""
    lines = (f"{name} {value}\n" for name, value in options.items())
    return "# Written by infisical-iac; a change made here is undone by the next run.\n" + "".join(
        lines
    )


def refuse_overruled(options: Mapping[str, str], effective: Mapping[str, str]) -> None:
    """Raise SshError if sshd would take another value than that of `options` for one of them.

    Args:
        effective: what `sshd -T` prints, by the option's name in lower case; empty if it prints
            nothing but an error. Older releases pass over some options, such as DebianBanner.
    """
    if not effective:
        raise SshError(
            "sshd does not understand its configuration, and would not start with it: `sshd -t` on "
            "the host tells the file and the line"
        )
    taken = {name: effective.get(name.lower(), _printed(value)) for name, value in options.items()}
    others = [f"{name} {taken[name]}" for name in options if taken[name] != _printed(options[name])]
    if others:
        raise SshError(
            f"sshd would take {', '.join(others)} from another file than {DROP_IN}: look for it in "
            "/etc/ssh/sshd_config above its line `Include /etc/ssh/sshd_config.d/*.conf`, which "
            "must be there, and in files of that directory that come earlier"
        )


def _printed(value: str) -> str:
    """A value as `sshd -T` prints it."""
    return "without-password" if value == "prohibit-password" else value


def refuse_without_key(method: str, *, authorized: bool) -> None:
    """Raise SshError if whoever deploys could not come back without a password.

    Args:
        method: how the connection was let in, as RFC 4252 calls it; empty on the machine itself.
        authorized: whether somebody has a key to log in with, which counts there alone.
    """
    remedy = "or set hardening to 'off'"
    if method not in ("", "publickey"):
        raise SshError(
            f"this connection was let in by {method}, which hardening of SSH ends: log in with a "
            f"key (`ssh-copy-id` brings it to the host), {remedy}"
        )
    if not method and not authorized:
        raise SshError(
            "nobody has a key to log in to this machine with, and hardening of SSH ends passwords: "
            f"put one into ~/.ssh/authorized_keys, {remedy}"
        )


def way_back(before: str | None) -> str:
    """Commands of the shell that bring the file back, and let sshd read it; they may be repeated.

    Args:
        before: its text; None where there was none.
    """
    if before is None:
        return f"rm -f {DROP_IN}\n{RELOAD}\n"
    restored = f"printf %s {shlex.quote(before)} > {DROP_IN}.back && mv -f {DROP_IN}.back {DROP_IN}"
    return f"{restored}\n{RELOAD}\n"


def parse(lines: Iterable[str]) -> Sshd:
    """What the look at the host (facts/hardening.py) prints of sshd, a fact a line."""
    options: dict[str, str] = {}
    supported: dict[str, list[str]] = {}
    words = set()
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "option":
            name, _, value = rest.partition(" ")
            options[name] = value
        elif kind in QUERIES:
            supported.setdefault(kind, []).append(rest)
        else:
            words.add(kind)
    return Sshd(
        there="sshd" in words,
        options=options,
        supported=supported,
        stale="stale" in words,
        authorized="authorized" in words,
    )
