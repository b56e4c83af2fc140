"""Read from the current host what a recovery kit needs, and what it remembers of the last one."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from infisical_iac.backup import kit_host, signing
from infisical_iac.backup.kit import KitError
from infisical_iac.backup.kit_host import Record
from infisical_iac.core.remote import run, write
from infisical_iac.core.rendering import script
from infisical_iac.monitoring.condition import Row


@dataclass(frozen=True)
class Found:
    """The files for a kit, by path, and what else the host says, by name."""

    files: dict[str, str]
    values: dict[str, str]

    def __repr__(self) -> str:
        return f"Found({sorted(self.files)}, {self.values})"


def read() -> Found:
    """Read what a kit of the current host holds; it is in this process's memory alone.

    Raises KitError for a file that is no text.
    """
    files, values = {}, {}
    for kind, name, value in _lines(run(script("recovery", "contents"), doing="read the keys")):
        if kind == "value":
            values[name] = value
            continue
        try:
            files[name] = base64.b64decode(value).decode()
        except ValueError:
            raise KitError(
                f"/etc/infisical/{name} holds something that is no text: see what it is"
            ) from None
    return Found(files, values)


def signer() -> str:
    """Return the fingerprint of the current host's own key that signs kits; empty without one."""
    text = run(f"cat /etc/infisical/{signing.KEY} 2>/dev/null || true", doing="read the keys")
    return signing.fingerprint(signing.parse(text).public_key()) if text.strip() else ""


def remember(made: Record) -> None:
    """Keep a record on the current host."""
    write(kit_host.FILE, kit_host.render(made))


def row(fingerprint: str = "") -> Row | None:
    """Return what to say of the kit of the current host; None where there are no keys.

    Args:
        fingerprint: that of the key which signs kits, as the settings have it, or empty.
    """
    known, now = None, {}
    text = run(script("recovery", "fingerprints"), doing="read what is known of the recovery kit")
    for kind, name, value in _lines(text):
        if kind == "record":
            known = kit_host.parse(f"{name} {value}")
        else:
            now[name] = value
    return kit_host.row(known, now, fingerprint) if now else None


def _lines(text: str) -> Iterator[tuple[str, str, str]]:
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        name, _, value = rest.partition(" ")
        yield kind, name, value
