"""Keep what the host remembers of its last kit, and assess whether that kit is still good."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256

from infisical_iac.backup import kit_trust
from infisical_iac.backup.kit import Kit
from infisical_iac.monitoring.condition import Row

FILE = "/etc/infisical/recovery-kit.json"

_KEY = "keys/encryption_key"
# What services log in with is made anew by `apply` where it is lost: no kit is due for that.
_CREDENTIALS = "credentials/"
_NAME = "Recovery kit"


@dataclass(frozen=True)
class Record:
    """A kit as the host remembers it.

    Attributes:
        at: when it was made.
        kit: its fingerprint, which is printed on it.
        recipients: whom it is encrypted for.
        signed_by: the fingerprint of the key that signed it; empty of one of the version before.
        files: the fingerprint of each file in it, by path.
    """

    at: str
    kit: str
    recipients: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    signed_by: str = ""


def of(kit: Kit, fingerprint: str, signer: str) -> Record:
    """Return the record of a kit that has a fingerprint, signed by the key of `signer`."""
    key = kit.files[_KEY]
    files = {path: _fingerprint(path, text, key) for path, text in kit.files.items()}
    return Record(kit.at, fingerprint, list(kit.recipients), files, signer)


def _fingerprint(path: str, text: str, key: str) -> str:
    # recovery.sh makes the same on the host, where nothing secret has to leave it.
    return sha256(f"infisical-iac {path} {key.strip()}\n{text}".encode()).hexdigest()[:16]


def render(record: Record) -> str:
    """The file's content."""
    return json.dumps(asdict(record), indent=2) + "\n"


def parse(text: str) -> Record | None:
    """The record in a file's content, None where it holds none."""
    try:
        return Record(**json.loads(text))
    except (ValueError, TypeError):
        return None


def row(record: Record | None, now: Mapping[str, str], setting: str = "") -> Row:
    """Return what to say of the kit.

    Args:
        setting: the fingerprint of the deployment's signing key as the settings have it, or empty.
        now: the fingerprint of each file that a kit made at this moment would have.
    """
    if record is None:
        return Row(_NAME, "none has been made: see `infisical-iac recovery-kit --help`", ok=False)
    changed = sorted(path for path, each in now.items() if record.files.get(path) != each)
    if _KEY in changed:
        changed = [_KEY]  # all fingerprints change with it
    due = [path for path in changed if not path.startswith(_CREDENTIALS)]
    signed, is_expected = kit_trust.row_text(record.signed_by, setting)
    made = f"made {record.at}{signed}"
    if due:
        more = f" and {len(due) - 3} more" if len(due) > 3 else ""
        names = f"{', '.join(due[:3])}{more}"
        return Row(_NAME, f"{made}, but changed since: {names}: make a new one", ok=False)
    newer = f"; newer since: {', '.join(changed)}" if changed else ""
    return Row(_NAME, f"{made}{newer}", is_expected)
