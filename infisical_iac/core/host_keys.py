"""Verify the SSH host keys of servers, and accept new ones by their fingerprints only.

A key in known_hosts is accepted, and another key for a host in known_hosts is refused. The key
of an unknown host is accepted if its fingerprint was given, by the option
`--accept-host-key` or the variable INFISICAL_IAC_ACCEPT_HOST_KEY, or if a person on a terminal says
that the host shows the same one. It is then added to known_hosts, in the form of OpenSSH.
"""

import logging
import os
import re
import socket
import sys
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha1, sha256
from hmac import digest as hmac_digest
from pathlib import Path

import paramiko

from infisical_iac.core import atomic
from infisical_iac.core.errors import Refused, SettingsError, Unreachable
from infisical_iac.core.terminal import confirm, echo
from infisical_iac.core.wording import join_names

OPTION = "--accept-host-key"
VARIABLE = "INFISICAL_IAC_ACCEPT_HOST_KEY"
# The file of all users, which OpenSSH reads too. Nothing is added to it.
GLOBAL_FILE = Path("/etc/ssh/ssh_known_hosts")
_SECONDS = 10.0
_SALT_BYTES = 20
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")

# Every module that connects imports this one, and raises paramiko's errors as sentences. paramiko
# also logs them with a traceback, which Python prints in a process that has no log.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class ServerKey:
    """The host key that a server has answered with.

    Attributes:
        name: the server as known_hosts names it, such as `203.0.113.7` or `[203.0.113.7]:2222`.
        type: the type of the key, such as `ssh-ed25519`.
        base64: the public key.
    """

    name: str
    type: str
    base64: str

    @property
    def fingerprint(self) -> str:
        """The fingerprint in OpenSSH's form, such as `SHA256:…`."""
        return compute_fingerprint(self.base64)

    @property
    def kind(self) -> str:
        """The type as `ssh-keygen -l` prints it, such as ED25519."""
        return next((each for each in ("ED25519", "ECDSA", "RSA") if each in self.type.upper()), "")

    @property
    def command(self) -> str:
        """The command that prints the fingerprint on the host."""
        return f"ssh-keygen -lf /etc/ssh/ssh_host_{self.kind.lower() or '*'}_key.pub"

    def __str__(self) -> str:
        return f"{self.kind or self.type} {self.fingerprint}"


@dataclass(frozen=True)
class KnownHost:
    """A line of a file of known hosts.

    Attributes:
        file: the file.
        number: the number of the line, from 1.
        marker: `@revoked` or `@cert-authority`; empty for an ordinary line.
        hosts: the names and patterns with commas in between, or one hashed name.
        type: the type of the key.
        base64: the public key.
    """

    file: Path
    number: int
    marker: str
    hosts: str
    type: str
    base64: str

    @property
    def is_hashed(self) -> bool:
        """True if the line has a hashed name."""
        return self.hosts.startswith("|1|")

    def has(self, name: str) -> bool:
        """Return whether a pattern of the line matches a host, and no negated one does."""
        if self.is_hashed:
            try:
                return self.hosts == _hash_name(name, b64decode(self.hosts.split("|")[2]))
            except ValueError:  # malformed
                return False
        matching = [each for each in self.hosts.split(",") if _matches(name, each.lstrip("!"))]
        return bool(matching) and not any(each.startswith("!") for each in matching)


def compute_fingerprint(base64: str) -> str:
    """Return the fingerprint of a public key in OpenSSH's form."""
    digest = b64encode(sha256(b64decode(base64)).digest()).decode()
    return f"SHA256:{digest.rstrip('=')}"


def name_in_known_hosts(address: str, port: int = 22) -> str:
    """Return a server's name as known_hosts has it."""
    return address if port == 22 else f"[{address}]:{port}"


def parse_known_hosts(text: str, file: Path) -> list[KnownHost]:
    """Return the lines of a file of known hosts that name a key; other lines are skipped."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) >= 3 and not words[0].startswith("#"):
            found.append(KnownHost(file, number, marker, *words[:3]))
    return found


def write_line(key: ServerKey, *, hashed: bool) -> str:
    """Return the line of a key for known_hosts."""
    name = _hash_name(key.name, os.urandom(_SALT_BYTES)) if hashed else key.name.lower()
    return f"{name} {key.type} {key.base64}\n"


def parse_fingerprints(texts: Iterable[str]) -> frozenset[str]:
    """Return the fingerprints in texts, which separate several by blanks or commas.

    Raises SettingsError for a text that is not a fingerprint.
    """
    words = [word.rstrip("=") for text in texts for word in re.split(r"[\s,]+", text) if word]
    for word in words:
        if not _FINGERPRINT.fullmatch(word):
            raise SettingsError(
                f"{word!r} is not the fingerprint of a host key: write SHA256: and its 43 "
                "characters, as `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints them on "
                "the host",
                code="settings.fingerprint",
            )
    return frozenset(words)


def check_key(key: ServerKey, lines: Sequence[KnownHost]) -> bool:
    """Return whether the lines of known_hosts have a server's key; False for an unknown server.

    Raises Refused if they have another key for the server, or if they revoke this one.
    """
    own = [each for each in lines if each.has(key.name)]
    for each in own:
        if each.marker == "@revoked" and each.base64 == key.base64:
            raise Refused(
                f"{key.name} answers with a host key ({key}) that line {each.number} of "
                f"{each.file} revokes: give the server another key",
                code="refused.host_key",
            )
    ordinary = [each for each in own if not each.marker]
    if any(each.base64 == key.base64 for each in ordinary):
        return True
    if ordinary:
        raise refuse_changed(key, ordinary)
    return False


def refuse_changed(key: ServerKey, lines: Sequence[KnownHost]) -> Refused:
    """Return the error about a server that has another key than its lines in known_hosts."""
    own = [each for each in lines if each.has(key.name) and not each.marker]
    # A key of the same type is the one that has changed.
    own.sort(key=lambda each: each.type != key.type)
    where, remove = "known_hosts", f"ssh-keygen -R '{key.name}'"
    if own:
        where = f"{own[0].file}, line {own[0].number}"
        if own[0].file != default_file():
            remove = f"ssh-keygen -f {own[0].file} -R '{key.name}'"
    return Refused(
        f"{key.name} answers with another host key than the one in {where} ({key}), and somebody "
        f"may intercept the connection: if the server was really reinstalled, `{remove}` removes "
        "the old key",
        code="refused.host_key",
    )


def refuse_unknown(
    keys: Iterable[ServerKey], accepted: Iterable[str] = (), command: str = "infisical-iac plan"
) -> Refused:
    """Return the error about servers with host keys that are not accepted.

    Args:
        accepted: the fingerprints that were given.
        command: the command that asks a person to accept the keys.
    """
    all_keys = list(dict.fromkeys(keys))
    are = "keys" if len(all_keys) > 1 else "key"
    shown = join_names(f"{each.name} ({each})" for each in all_keys)
    known = " and not among the accepted ones" if accepted else ""
    options = " ".join(f"{OPTION} {each.fingerprint}" for each in all_keys)
    return Refused(
        f"unknown host {are} of {shown}{known}: if `{all_keys[0].command}` shows the same on the "
        f"host, give {options} (or set {VARIABLE}), or run `{command}` in a terminal and "
        "answer with yes",
        code="refused.unknown_host_key",
    )


def default_file() -> Path:
    """Return the user's own file of known hosts."""
    return Path.home() / ".ssh" / "known_hosts"


def read_lines(files: Iterable[Path]) -> list[KnownHost]:
    """Return the lines of files of known hosts; a file that can't be read has none."""
    return [line for file in dict.fromkeys(files) for line in _read(file)]


def list_revoked(files: Iterable[Path]) -> list[KnownHost]:
    """Return the lines of files of known hosts that revoke keys."""
    return [each for each in read_lines(files) if each.marker == "@revoked"]


def set_accepted(fingerprints: Iterable[str]) -> None:
    """Accept the host keys with these fingerprints in this process and those that it starts.

    Raises SettingsError for a text that is not a fingerprint.
    """
    if found := parse_fingerprints(fingerprints):
        os.environ[VARIABLE] = " ".join(sorted(found))


def read_accepted_fingerprints() -> frozenset[str]:
    """Return the fingerprints that the environment accepts. Raises as `set_accepted` does."""
    try:
        return parse_fingerprints([os.environ.get(VARIABLE, "")])
    except SettingsError as error:
        raise SettingsError(f"{VARIABLE}: {error}", code=error.code) from None


def is_accepted(key: ServerKey, file: Path) -> bool:
    """Return whether a key is known or accepted by its fingerprint; store an accepted one.

    Raises Refused for a changed key, SettingsError for a wrong fingerprint, and FileError.
    """
    if check_key(key, [*read_lines([file, GLOBAL_FILE]), *list_revoked([default_file()])]):
        return True
    if key.fingerprint not in read_accepted_fingerprints():
        return False
    add(key, file)
    return True


def ask_to_accept(unknown: Mapping[ServerKey, Path]) -> None:
    """Ask a person on the terminal to accept each unknown key, and store it.

    Args:
        unknown: the keys, each with the file of known hosts that gets it.

    Asks nothing if fingerprints were given, or without a terminal. Raises Refused for a key
    that is not accepted, and FileError.
    """
    accepted = read_accepted_fingerprints()
    if unknown and (accepted or not sys.stdin.isatty()):
        raise refuse_unknown(unknown, accepted)
    for key, file in unknown.items():
        if not _ask(key, file):
            raise refuse_unknown([key])
        add(key, file)


def list_types(names: Iterable[str], lines: Sequence[KnownHost]) -> set[str]:
    """Return the types of the keys that the lines of known_hosts have for a server's names."""
    return {each.type for name in names for each in lines if each.has(name) and not each.marker}


def read_key(
    address: str, port: int = 22, *, types: Collection[str] = (), seconds: float = _SECONDS
) -> ServerKey:
    """Ask a server for its host key.

    Args:
        types: the known types of the server's keys. A server with several keys shows one of them,
            as to a client that logs in.

    Raises Unreachable if no SSH server answers within `seconds`.
    """
    name = name_in_known_hosts(address, port)
    try:
        with (
            socket.create_connection((address, port), timeout=seconds) as connection,
            paramiko.Transport(connection) as transport,
        ):
            transport.banner_timeout = seconds
            _prefer(transport, types)
            transport.start_client(timeout=seconds)
            found = transport.get_remote_server_key()
    except (paramiko.SSHException, EOFError, OSError, UnicodeError) as error:
        # A name with a part that is too long for the DNS is a UnicodeError.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Unreachable(
            f"no SSH server answers at {name} ({reason}): check the address and the port, that "
            "the server is up, and that its firewall lets you in",
            code="unreachable.host",
        ) from None
    return ServerKey(name, found.get_name(), found.get_base64())


def _prefer(transport: paramiko.Transport, types: Collection[str]) -> None:
    """Ask the server for a key of these types first."""
    options = transport.get_security_options()
    # A key of the type ssh-rsa signs by the algorithms that begin so.
    starts = tuple(types) + (("rsa-sha2-",) if "ssh-rsa" in types else ())
    options.key_types = sorted(options.key_types, key=lambda each: not each.startswith(starts))


def add(key: ServerKey, file: Path) -> None:
    """Add a server's key to a file of known hosts, hashed if its names are. Raises FileError."""
    with atomic.explain_failure(file):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(opened, "r+b", buffering=0) as stream:
            text = stream.read().decode(errors="replace")
            hashed = any(each.is_hashed for each in parse_known_hosts(text, file))
            start = "\n" if text and not text.endswith("\n") else ""
            stream.write(f"{start}{write_line(key, hashed=hashed)}".encode())


def describe_unknown(key: ServerKey) -> str:
    """Return an unknown key with the command that shows it on the host, for a question below."""
    return (
        f"The host key of {key.name} is not known:\n\n    {key}\n\nOn the host, such as in your "
        f"provider's console, this command shows it:\n\n    {key.command}\n"
    )


def _ask(key: ServerKey, file: Path) -> bool:
    echo(describe_unknown(key), err=True)
    return confirm(f"Is it the same? Then it is added to {file}.", err=True)


def _read(file: Path) -> Iterator[KnownHost]:
    try:
        text = file.read_text("utf-8", errors="replace")
    except OSError:
        return
    yield from parse_known_hosts(text, file)


def _hash_name(name: str, salt: bytes) -> str:
    # OpenSSH hashes names with HMAC-SHA-1.
    digest = hmac_digest(salt, name.lower().encode(), sha1)
    return f"|1|{b64encode(salt).decode()}|{b64encode(digest).decode()}"


def _matches(name: str, pattern: str) -> bool:
    """Return whether a pattern of known_hosts, which knows `*` and `?`, matches a name."""
    return fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))
