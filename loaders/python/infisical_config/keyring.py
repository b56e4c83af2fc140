"""Keep a person's login in the system's keyring, or in a sealed file where there is none.

The system's own programs access the keyring. The loaders of both languages find each other's
logins.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from . import files
from .errors import ConfigError
from .refusals import is_own

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VERSION = 1
_SERVICE: Final = "infisical-config"
_KEY_BYTES = 32
# Seconds to wait for a keyring's program, as a locked keyring asks for its password in a window.
_PATIENCE = 60
# The longest line that `security -i` reads, in characters.
_LONGEST_LINE = 4096
# Seconds after which a lock counts as left by a process that has ended.
_LOCK_AGE = 30
# The error of a session bus on a machine without a keyring.
_NO_SERVICE = "was not provided by any .service files"
# The status of macOS for a login that is not there.
_NO_ITEM = 44
_UNLOCK = "unlock it and try again, or log in with INFISICAL_KEYRING=file"
_AGAIN = "run `with-secrets login` again"


@dataclass(frozen=True)
class Login:
    """A person's login at an Infisical.

    Attributes:
        organization: its name.
        refresh: the cookie that renews the token; empty after a login in a browser.
    """

    address: str
    email: str
    organization: str
    token: str = field(repr=False)
    refresh: str = field(repr=False)


class _Tool(Protocol):
    """A keyring of the system."""

    name: str

    def find(self, address: str) -> str | None: ...
    def keep(self, address: str, text: str) -> bool: ...
    def forget(self, address: str) -> bool: ...


class Logins:
    """The logins that a user of this machine has."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        home = Path(environ.get("HOME") or Path.home())
        self._environ = environ
        if os.name == "nt":
            config, state = home / "AppData/Roaming", home / "AppData/Local"
            names = ("APPDATA", "LOCALAPPDATA")
        else:
            config, state = home / ".config", home / ".local/state"
            names = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")
        self._config = Path(environ.get(names[0]) or config, _SERVICE)
        self._key_file = Path(environ.get(names[1]) or state, _SERVICE, "key")

    def find(self, address: str) -> Login | None:
        """Return the login at an address, if there is one.

        Raises ConfigError `not_configured` for a login that can't be read, and for a file that
        others may have written or read.
        """
        file = self._file(address)
        tool = None if file.exists() else self._tool()
        found = tool.find(address) if tool else None
        text = self._open(file, address) if file.exists() else found
        if text is None:
            return None
        login = _parse(text)
        if login and login.address == address and login.email and login.token:
            return login
        raise unreadable(address, tool.name if tool else str(file), "it is damaged", _AGAIN)

    def keep(self, login: Login) -> str:
        """Store a login, instead of an earlier one at its address; return its place in words.

        Raises ConfigError `not_configured` if it can't be kept.
        """
        text = json.dumps({"version": _VERSION, **asdict(login)})
        file = self._file(login.address)
        tool = self._tool()
        if tool and tool.keep(login.address, text):
            file.unlink(missing_ok=True)
            return tool.name
        from .sealed_text import seal_text

        self._write(file, seal_text(text, self._key(), login.address))
        return str(file)

    def forget(self, address: str) -> bool:
        """Forget the login at an address; return False if the keyring refuses to delete it."""
        file = self._file(address)
        tool = self._tool()
        is_gone = tool.forget(address) if tool else True
        if file.exists():
            file.unlink(missing_ok=True)
            return True
        return is_gone

    def place(self, address: str) -> str:
        """Return the place of the login at an address, in words."""
        file = self._file(address)
        tool = None if file.exists() else self._tool()
        return tool.name if tool else str(file)

    @contextmanager
    def locked(self, address: str) -> Iterator[None]:
        """Keep other processes from renewing the login at an address."""
        lock = Path(f"{self._file(address)}.lock")
        self._make_directory(lock.parent)
        end = time.monotonic() + _LOCK_AGE
        while time.monotonic() < end:
            try:
                os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                break
            except FileExistsError:
                with suppress(OSError):
                    if time.time() - lock.stat().st_mtime > _LOCK_AGE:
                        lock.unlink()
                time.sleep(0.05)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)

    def _file(self, address: str) -> Path:
        return self._config / f"{sha256(address.encode()).hexdigest()[:16]}.login"

    def _open(self, file: Path, address: str) -> str:
        from .sealed_text import open_text

        key, text = files.read_private(self._key_file), files.read_private(file)
        if not key:
            why = f"its key {self._key_file} is missing"
            raise unreadable(address, str(file), why, _AGAIN)
        with suppress(ValueError):
            opened = open_text(text or b"", bytes.fromhex(key.decode().strip()), address)
            if opened is not None:
                return opened
        raise unreadable(address, str(file), f"it or its key {self._key_file} has changed", _AGAIN)

    def _key(self) -> bytes:
        """Return the key of all files; make it if it is missing."""
        with suppress(ValueError):
            known = bytes.fromhex((files.read_private(self._key_file) or b"").decode().strip())
            if len(known) == _KEY_BYTES:
                return known
        key = os.urandom(_KEY_BYTES)
        self._write(self._key_file, f"{key.hex()}\n")
        return key

    def _write(self, file: Path, text: str) -> None:
        """Write a file as a whole; only this user may read it."""
        import tempfile

        self._make_directory(file.parent)
        try:
            handle, new = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
            try:
                with open(handle, "w", encoding="utf-8") as stream:
                    stream.write(text)
                os.replace(new, file)
            except OSError:
                os.unlink(new)
                raise
        except OSError as error:
            raise _unwritable(file, error) from None

    def _make_directory(self, path: Path) -> None:
        try:
            own = is_own(path)
        except OSError as error:
            raise _unwritable(path, error) from None
        if not own:
            message = f"{path} is open to other users: run `chmod 700 {path}`"
            raise ConfigError("not_configured", message)

    def _tool(self) -> _Tool | None:
        environ = self._environ
        if environ.get("INFISICAL_KEYRING") == "file":
            return None
        if sys.platform == "darwin":
            return MacKeychain(environ)
        runtime = environ.get("XDG_RUNTIME_DIR")
        has_bus = environ.get("DBUS_SESSION_BUS_ADDRESS") or (
            runtime and Path(runtime, "bus").exists()
        )
        return SecretService(environ) if sys.platform == "linux" and has_bus else None


class SecretService:
    """The keyring of Linux desktops: GNOME Keyring, KWallet, KeePassXC."""

    name = "the system's keyring (Secret Service)"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def find(self, address: str) -> str | None:
        """Return the text for an address, if there is one; raises ConfigError if it is locked."""
        ended = _run(self._environ, ["secret-tool", "lookup", *_attributes(address)])
        if ended.output is not None or ended.is_missing:
            return _decode(ended.output)
        why = ended.reason("secret-tool: ")
        if ended.status == 1 and not why:
            # It ends like this without the login and also with a locked one; a search tells them
            # apart.
            found = _run(self._environ, ["secret-tool", "search", *_attributes(address)])
            why = "it is locked" if found.output else ""
        if not why or _NO_SERVICE in why:
            return None
        raise unreadable(address, self.name, why, _UNLOCK)

    def keep(self, address: str, text: str) -> bool:
        """Keep a text; return whether it worked."""
        label = f"--label=Infisical login at {address}"
        command = ["secret-tool", "store", label, *_attributes(address)]
        return _run(self._environ, command, _encode(text)).output is not None

    def forget(self, address: str) -> bool:
        """Delete the text for an address; return False if the keyring is locked or refuses."""
        command = ["secret-tool", "clear", *_attributes(address)]
        return _run(self._environ, command).output is not None


class MacKeychain:
    """The login keychain of macOS."""

    name = "the keychain"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def find(self, address: str) -> str | None:
        """Return the text for an address, if there is one; raises ConfigError if it is locked."""
        item = ("-s", _SERVICE, "-a", address)
        ended = _run(self._environ, ["security", "find-generic-password", *item, "-w"])
        if ended.output is not None or ended.is_missing or ended.status == _NO_ITEM:
            return _decode(ended.output)
        why = ended.reason("security: ") or f"status {ended.status}"
        raise unreadable(address, self.name, why, _UNLOCK)

    def keep(self, address: str, text: str) -> bool:
        """Keep a text; return whether it worked.

        The text goes to standard input, as other users could see an argument.
        """
        item = f'-U -s {_SERVICE} -a "{address}" -w {_encode(text)}'
        line = f"add-generic-password {item}\n"
        if len(line) > _LONGEST_LINE or any(each in address for each in '"\\'):
            return False
        is_kept = _run(self._environ, ["security", "-i"], line).output is not None
        with suppress(ConfigError):
            return is_kept and self.find(address) == text
        return False

    def forget(self, address: str) -> bool:
        """Delete the text for an address; return False if the keychain refuses."""
        item = ("-s", _SERVICE, "-a", address)
        command = ["security", "delete-generic-password", *item]
        return _run(self._environ, command).output is not None


def _parse(text: str) -> Login | None:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.pop("version", None) != _VERSION:
        return None
    texts = [found.get(name) for name in Login.__dataclass_fields__]
    return Login(*map(str, texts)) if all(isinstance(each, str) for each in texts) else None


def unreadable(address: str, place: str, why: str, remedy: str) -> ConfigError:
    """Return the error of a login that is or may be kept, but can't be read."""
    message = f"the login at {address} can't be read from {place} ({why}): {remedy}"
    return ConfigError("not_configured", message)


def _attributes(address: str) -> tuple[str, ...]:
    return ("service", _SERVICE, "address", address)


def _encode(text: str) -> str:
    from base64 import b64encode

    return b64encode(text.encode()).decode()


def _decode(found: str | None) -> str | None:
    from base64 import b64decode

    try:
        return b64decode(found).decode() if found else None
    except ValueError:
        return found


@dataclass(frozen=True)
class _Ended:
    """The end of a program.

    Attributes:
        output: None if it failed.
        status: the exit status; 0 also if the program was not found, or gave no answer.
    """

    output: str | None = field(default=None, repr=False)
    messages: str = ""
    status: int = 0
    is_missing: bool = False

    def reason(self, prefix: str) -> str:
        """Return why it failed: its own last line; without one, "" for status 1."""
        lines = [each for each in self.messages.splitlines() if each.startswith(prefix)]
        if lines:
            return lines[-1].removeprefix(prefix)
        if not self.status:
            return f"no answer within {_PATIENCE} s"
        return "" if self.status == 1 else f"status {self.status}"


def _run(environ: Mapping[str, str], command: list[str], text: str = "") -> _Ended:
    """Run a program to its end."""
    try:
        ended = subprocess.run(
            command,
            env=dict(environ),
            input=text,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Ended()
    except OSError:
        return _Ended(is_missing=True)
    output = None if ended.returncode else ended.stdout.strip()
    return _Ended(output, ended.stderr, ended.returncode)


def _unwritable(file: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "not_configured",
        f"the login can't be kept in {file} ({error.strerror}): check its directory",
    )
