"""The host keys of the servers that this project made, kept in the project's directory.

`.infisical-iac/known_hosts` has the form of OpenSSH's own. It holds nothing secret: commit it, and
everybody who works with the project verifies the server from the first connection on.
"""

from pathlib import Path

from infisical_iac import atomic
from infisical_iac.hetzner.failures import HetznerError

FILE = Path(".infisical-iac") / "known_hosts"


def entry(address: str, port: int) -> str:
    """What a server is called in the file."""
    return address if port == 22 else f"[{address}]:{port}"


def keys(file: Path, address: str, port: int) -> list[str]:
    """The keys that the server may have, each `ssh-ed25519 AAAA…`."""
    name = entry(address, port)
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [key for host, _, key in (line.partition(" ") for line in lines) if host == name]


def keep(file: Path, address: str, port: int, *publics: str) -> None:
    """Have exactly these keys in the file for the server, each `ssh-ed25519 AAAA…`."""
    name = entry(address, port)
    try:
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        kept = [line for line in lines if line.partition(" ")[0] != name]
        file.parent.mkdir(exist_ok=True)
        atomic.write(file, "".join(f"{each}\n" for each in [*kept, *_lines(name, publics)]))
    except OSError as error:
        raise HetznerError(f"{file} can't be written: {error.strerror}") from None


def forget(file: Path, address: str, port: int) -> None:
    """Have no key of the server in the file."""
    if keys(file, address, port):
        keep(file, address, port)


def _lines(name: str, publics: tuple[str, ...]) -> list[str]:
    return [f"{name} {' '.join(each.split()[:2])}" for each in publics]
