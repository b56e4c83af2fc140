"""Configure sshd: keys only, modern algorithms, and forwarding only to the host itself."""

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import takewhile
from typing import NamedTuple, NoReturn

from infisical_iac.core.errors import Refused
from infisical_iac.core.wording import join_names

DIRECTORY = "/etc/ssh"
MAIN = f"{DIRECTORY}/sshd_config"
DROP_IN = f"{DIRECTORY}/sshd_config.d/00-infisical-iac.conf"
_INCLUDE = f"Include {DIRECTORY}/sshd_config.d/*.conf"
# Prints the lines of sshd's main file, and of those that it includes by default.
READ_LINES = (
    f"grep -Hn '^[[:space:]]*[A-Za-z]' {MAIN} {DIRECTORY}/sshd_config.d/*.conf 2>/dev/null | "
    "sed 's/^/line /'"
)
# A reload returns before sshd has read its files: a login right after it could still be accepted by
# the old configuration, and would prove nothing. Open sessions survive a restart.
RESTART = "systemctl try-restart ssh.service"

# By option: the kind for `ssh -Q`, and the algorithms in the order in which they are offered.
# Without group exchange, nobody can use short moduli in /etc/ssh/moduli.
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


class _Option(NamedTuple):
    """The desired value of an option of sshd.

    Attributes:
        in_match: whether a `Match` block may set another value for some connections: the option
            gives no access, or sshd does not accept it in such a block. For other options, a block
            may only take access away.
    """

    value: str
    in_match: bool


# In the order in which they are written.
_OPTIONS = {
    "PermitRootLogin": _Option("no", in_match=False),
    "PubkeyAuthentication": _Option("yes", in_match=True),
    "PasswordAuthentication": _Option("no", in_match=False),
    "KbdInteractiveAuthentication": _Option("no", in_match=False),
    "HostbasedAuthentication": _Option("no", in_match=False),
    "PermitEmptyPasswords": _Option("no", in_match=False),
    "StrictModes": _Option("yes", in_match=True),
    "MaxAuthTries": _Option("4", in_match=True),
    "LoginGraceTime": _Option("30", in_match=True),
    # The values are the algorithms that the host supports.
    **dict.fromkeys(_ALGORITHMS, _Option("", in_match=True)),
    "RequiredRSASize": _Option("2048", in_match=True),
    # Runs reach the API through the host's loopback address, on any port.
    "AllowTcpForwarding": _Option("local", in_match=False),
    "PermitOpen": _Option("127.0.0.1:* localhost:* [::1]:*", in_match=False),
    "AllowStreamLocalForwarding": _Option("no", in_match=False),
    "AllowAgentForwarding": _Option("no", in_match=False),
    "X11Forwarding": _Option("no", in_match=False),
    "PermitTunnel": _Option("no", in_match=False),
    "GatewayPorts": _Option("no", in_match=False),
    "PermitUserEnvironment": _Option("no", in_match=True),
    # Half an hour: the connection is idle while a person reads a plan before confirming it.
    "ClientAliveInterval": _Option("900", in_match=True),
    "ClientAliveCountMax": _Option("2", in_match=True),
    "TCPKeepAlive": _Option("no", in_match=True),
    # Log the key of each login.
    "LogLevel": _Option("VERBOSE", in_match=True),
    "Banner": _Option("none", in_match=True),
    "DebianBanner": _Option("no", in_match=True),
}
_GIVES_NOTHING = ("no", "none", "forced-commands-only")
QUERIES = tuple(kind for kind, _ in _ALGORITHMS.values())


@dataclass(frozen=True)
class Line:
    """A line of one of sshd's files, with its number from 1 on."""

    file: str
    number: int
    words: tuple[str, ...]


_OURS = Line(DROP_IN, 0, ("",))


@dataclass(frozen=True)
class Sshd:
    """OpenSSH's server as it is on the host.

    Attributes:
        there: whether the server is installed.
        options: the effective values that `sshd -T` prints, by the option's name in lower case.
        supported: the algorithms that `ssh -Q` lists, by kind.
        stale: whether our file was written since the server last read it.
        authorized: whether root, or the user who became root by sudo, has keys to log in with.
        lines: the lines of its files, file by file.
        error: sshd's error if it does not understand its files.
    """

    there: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    supported: Mapping[str, Collection[str]] = field(default_factory=dict)
    stale: bool = False
    authorized: bool = False
    lines: tuple[Line, ...] = ()
    error: str = ""


def desired_options(
    supported: Mapping[str, Collection[str]], *, root_logs_in: bool
) -> dict[str, str]:
    """Return the desired options; `supported` are the host's algorithms, by kind."""
    values = {name: option.value for name, option in _OPTIONS.items()} | _algorithms(supported)
    if root_logs_in:
        values["PermitRootLogin"] = "prohibit-password"
    return {name: value for name, value in values.items() if value}


def _algorithms(supported: Mapping[str, Collection[str]]) -> dict[str, str]:
    known = {
        option: [name for name in names if name in supported.get(kind, ())]
        for option, (kind, names) in _ALGORITHMS.items()
    }
    return {option: ",".join(names) for option, names in known.items()}


def drop_in(options: Mapping[str, str]) -> str:
    """Return the text of our file. sshd reads it first, and uses the first value of an option."""
    lines = "".join(f"{name} {value}\n" for name, value in options.items())
    return f"# Written by infisical-iac; a change made here is undone by the next run.\n{lines}"


def refuse_overruled(options: Mapping[str, str], found: Sshd) -> None:
    """Raise Refused if an effective value differs from `options`, even for some connections only.

    The error names the file that sets it. `sshd -T` of older releases does not print some options,
    such as DebianBanner.
    """
    effective = found.options
    if not effective:
        said = f" ({found.error})" if found.error else ""
        raise Refused(
            f"sshd can't read its configuration{said}, and would not start with it: `sshd -t` on "
            "the host names the file and the line",
            code="refused.sshd_broken",
        )
    taken = {
        name: effective.get(name.lower(), _as_printed(value)) for name, value in options.items()
    }
    others = {name: taken[name] for name in options if taken[name] != _as_printed(options[name])}
    if others:
        places = {name: _before_ours(found.lines, name) for name in others}
        _refuse(others, [place for place in places.values() if place])
    _refuse_blocks(options, found.lines)


def refuse_earlier(options: Mapping[str, str], found: Sshd) -> None:
    """Raise Refused if a file that sshd reads before ours sets another value.

    Our file need not exist. Numbers are not compared, because they have several forms.
    """
    if found.lines and _OURS not in _in_order([*found.lines, _OURS]):
        raise Refused(
            f"sshd would not read {DROP_IN}: put the line `{_INCLUDE}` at the beginning of {MAIN}",
            code="refused.sshd_not_included",
        )
    places = {name: _before_ours(found.lines, name) for name in options}
    earlier = {
        name: place
        for name, place in places.items()
        if place
        and len(place.words) == 2
        and _as_printed(place.words[1].lower()) != _as_printed(options[name])
        and not options[name].isdigit()
    }
    if earlier:
        _refuse({name: place.words[1] for name, place in earlier.items()}, earlier.values())
    _refuse_blocks(options, found.lines)


def _refuse(others: Mapping[str, str], places: Iterable[Line]) -> NoReturn:
    files = dict.fromkeys(f"{each.file}, line {each.number}" for each in places)
    values = ", ".join(f"{name} {value}" for name, value in others.items())
    if files:
        raise Refused(
            f"sshd would take {values} because of {join_names(files)}: sshd takes the value that "
            f"it reads first, so remove that one, or move it to a file that comes after {DROP_IN}",
            code="refused.sshd_overruled",
        )
    raise Refused(
        f"sshd would take {values} from another file than {DROP_IN}: look for it in earlier files "
        f"of that directory, and in {MAIN} above the line `{_INCLUDE}`, which must be there",
        code="refused.sshd_overruled",
    )


def _refuse_blocks(options: Mapping[str, str], lines: Iterable[Line]) -> None:
    """Raise Refused if a `Match` block gives some connections more access than our file."""
    ours = {
        name.lower(): _as_printed(options[name])
        for name, option in _OPTIONS.items()
        if name in options and not option.in_match
    }
    block: Line | None = None
    for line in lines:
        if block and line.file != block.file:
            block = None
        option, values = (
            line.words[0].lower(),
            [_as_printed(each.lower()) for each in line.words[1:]],
        )
        if option == "match":
            block = line
        elif block and option in ours and " ".join(values) not in (ours[option], *_GIVES_NOTHING):
            raise Refused(
                f"sshd would take {' '.join(line.words)} for some connections because of "
                f"{line.file}, line {line.number}, in the block `{' '.join(block.words)}`: "
                "remove that line",
                code="refused.sshd_overruled",
            )


def _before_ours(lines: Iterable[Line], option: str) -> Line | None:
    """Return the line that sets an option before sshd reads our file; None if there is none.

    If our file does not exist, its place in the order counts as if it did.
    """
    in_order = takewhile(lambda line: line.file != DROP_IN, _in_order([*lines, _OURS]))
    return next((line for line in in_order if line.words[0].lower() == option.lower()), None)


def _in_order(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines that apply to all connections, in the order in which sshd reads them."""
    by_file: dict[str, list[Line]] = {}
    for line in lines:
        by_file.setdefault(line.file, []).append(line)
    for line in _for_all(by_file.get(MAIN, ())):
        if line.words[0].lower() != "include":
            yield line
            continue
        for pattern in line.words[1:]:
            path = pattern if pattern.startswith("/") else f"{DIRECTORY}/{pattern}"
            for file in sorted(each for each in by_file if fnmatch(each, path)):
                yield from _for_all(by_file[file])


def _for_all(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines of a file before its first `Match` block."""
    return takewhile(lambda line: line.words[0].lower() != "match", lines)


def _as_printed(value: str) -> str:
    """Return a value as `sshd -T` prints it."""
    return "without-password" if value == "prohibit-password" else value


def refuse_without_key(method: str, *, authorized: bool) -> None:
    """Raise Refused if the person who deploys could not log in again without a password.

    Args:
        method: this run's authentication method, as RFC 4252 names it; empty on the machine itself.
        authorized: whether anybody has a key to log in with; only matters on the machine itself.
    """
    remedy = "or set hardening to 'off'"
    if method not in ("", "publickey"):
        raise Refused(
            f"you logged in by {method}, which hardening of SSH forbids: log in with a key "
            f"(`ssh-copy-id` copies it to the host), {remedy}",
            code="refused.no_key",
        )
    if not method and not authorized:
        raise Refused(
            "no SSH key can log in to this machine, and hardening of SSH forbids passwords: put "
            f"your public key into ~/.ssh/authorized_keys, {remedy}",
            code="refused.no_key",
        )


def rollback_commands(before: str | None) -> str:
    """Return the commands of the rollback, which can be repeated.

    They restore the file's text `before`, None for no file, and have sshd read it.
    """
    # An sshd that did not start with the new file is not running, and would be left out.
    restart = f"! systemctl --quiet is-failed ssh.service || systemctl start ssh.service\n{RESTART}"
    if before is None:
        return f"rm -f {DROP_IN}\n{restart}\n"
    restored = f"printf %s {shlex.quote(before)} > {DROP_IN}.back && mv -f {DROP_IN}.back {DROP_IN}"
    return f"{restored}\n{restart}\n"


def parse(lines: Iterable[str]) -> Sshd:
    """Parse what host/hardening.py prints about sshd, one fact a line."""
    options: dict[str, str] = {}
    supported: dict[str, list[str]] = {}
    lines_of_files: list[Line] = []
    words, error = set(), ""
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "line":
            file, number, text = rest.split(":", 2)
            lines_of_files.append(Line(file, int(number), _words(text)))
        elif kind == "error":
            error = rest
        elif kind == "option":
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
        lines=tuple(lines_of_files),
        error=error,
    )


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a line. sshd also accepts `Option=value` and quotes."""
    option, value = re.fullmatch(r"\s*(\w+)[\s=]*(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    return (option, *(each.strip('"') for each in re.split(r"\s#", value)[0].split()))
