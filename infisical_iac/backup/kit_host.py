"""Read a kit's files from the host, record the last kit there, and put a kit's files back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infisical_iac.agent.keys import (
    ENCRYPTION_KEY,
    KitContents,
    kit_contents,
    kit_fingerprint,
    kit_fingerprints,
    list_changed,
    name_due,
)
from infisical_iac.backup import kit_keys
from infisical_iac.backup.kit import (
    ESSENTIAL,
    Kit,
    Versions,
    check,
    check_forms,
    compute_sheet_digest,
    read_text,
    save_sheet,
    seal,
)
from infisical_iac.backup.kit_keys import Identity, Recipient, parse_recipient
from infisical_iac.backup.settings import BackupSettings
from infisical_iac.core import audit, audit_entries
from infisical_iac.core.agent import ask, question
from infisical_iac.core.change import Row
from infisical_iac.core.errors import FileError, Refused
from infisical_iac.core.remote import run, write
from infisical_iac.core.settings import Settings
from infisical_iac.instance.settings import GIVEN

FILE = "/etc/infisical/recovery-kit.json"

_NAME = "Recovery kit"


@dataclass(frozen=True)
class KitRecord:
    """The record of a kit on the host.

    Attributes:
        at: when the kit was made, as a UTC timestamp.
        kit: the fingerprint that is printed on it.
        files: the fingerprint of each file in it, by path.
        signed_by: the fingerprint of the key that signed it; empty for an unsigned kit.
    """

    at: str
    kit: str
    recipients: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    signed_by: str = ""


def record_of(kit: Kit, fingerprint: str, signer: str) -> KitRecord:
    """Return the record of a kit; `signer` is the fingerprint of the key that signed it."""
    key = kit.files[ENCRYPTION_KEY]
    files = {path: kit_fingerprint(path, text, key) for path, text in kit.files.items()}
    return KitRecord(kit.at, fingerprint, list(kit.recipients), files, signer)


def parse_record(text: str) -> KitRecord | None:
    """Return the record in a text, None for another text."""
    try:
        return KitRecord(**json.loads(text))
    except (ValueError, TypeError):
        return None


def exists() -> bool:
    """Return whether a kit of the current host was ever made. Raises CommandFailed."""
    asked = f"test ! -e {FILE} || echo yes"
    return bool(run(asked, doing="see whether there is a recovery kit").strip())


def describe_record(record: KitRecord | None, now: Mapping[str, str], setting: str = "") -> Row:
    """Return the status of the last kit.

    Args:
        record: the last kit; None if none was made.
        now: the fingerprints of the files that a kit would have now, by path.
        setting: the fingerprint of the deployment's signing key, or empty.
    """
    if record is None:
        return Row(_NAME, "none has been made: see `infisical-iac recovery-kit --help`", ok=False)
    changed = list_changed(record.files, now)
    signed, is_expected = kit_keys.row_text(record.signed_by, setting)
    made = f"made {record.at}{signed}"
    if due := name_due(changed):
        return Row(_NAME, f"{made}, but {due} changed since: make a new one", ok=False)
    newer = f"; {', '.join(changed)} changed since" if changed else ""
    return Row(_NAME, f"{made}{newer}", is_expected)


def read() -> KitContents:
    """Read the files for a kit of the current host, into this process's memory only.

    Raises CommandFailed for a file that is not text.
    """
    return ask(question(kit_contents))


def choose_recipients(given: Sequence[Recipient], settings: BackupSettings) -> list[Recipient]:
    """Return the recipients of a kit: the given ones, or those of the settings.

    Raises FileError if there are none.
    """
    to = [*given] or [parse_recipient(each) for each in settings.recovery_recipients]
    if not to:
        raise FileError(
            "the kit has no recipient who could open it: give --recipient, or set "
            "recovery_recipients in your settings, such as group_data/hetzner.py"
        )
    return to


def make(
    settings: Settings,
    to: Sequence[Recipient],
    known: Sequence[Identity],
    output: Path,
    *,
    force: bool,
) -> tuple[Kit, str, str]:
    """Write a kit of the current host to a file, and record it on the host.

    It is encrypted for the recipients `to`, and the `known` identities must open it.

    Returns the kit, the text of its file, and the fingerprint of the key that signed it. Raises a
    UserError.
    """
    changes: list[str] = []
    with audit.record("recovery-kit", changes):
        kit = _assemble(read(), settings, to)
        key = signing_key(kit)
        signer = kit_keys.compute_fingerprint(key.public_key())
        kit_keys.refuse_another(signer, setting=settings.backup.recovery_fingerprint)
        text = seal(kit, to, key, known)
        save_sheet(output, text, force=force)
        remember(record_of(kit, compute_sheet_digest(text), signer))
        changes += [f"recipient {each}" for each in kit.recipients]
    return kit, text, signer


def _assemble(found: KitContents, settings: Settings, to: Sequence[Recipient]) -> Kit:
    workspace = read_text(Path(settings.workspace.workspace_file))
    kit = Kit(
        at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        by=audit_entries.operator_name(),
        host=found.values.get("host", ""),
        site_url=settings.stack.site_url,
        versions=Versions(
            infisical=settings.stack.infisical_reference,
            postgres=settings.stack.postgres_image,
            redis=settings.stack.redis_image,
            infisical_id=found.values.get("infisical_id", ""),
            migrations=int(found.values.get("migrations", 0)),
            revision=audit_entries.revision(),
        ),
        backup_targets=tuple(each.model_dump() for each in settings.backup.backup_targets),
        workspace=sha256(workspace.encode()).hexdigest(),
        recipients=tuple(each.name for each in to),
        files=found.files,
    )
    check(kit)
    return kit


def signing_key(kit: Kit) -> Ed25519PrivateKey:
    """Return the host's key that signs kits. Raises a UserError if there is none."""
    text = kit.files.get(kit_keys.SIGNING_KEY)
    if text is None:
        raise FileError(
            f"the host has no key to sign kits with, /etc/infisical/{kit_keys.SIGNING_KEY}: "
            "`infisical-iac apply` makes it"
        )
    return kit_keys.parse_signing_key(text)


def signer() -> str:
    """Return the fingerprint of the current host's key that signs kits; empty without one."""
    text = run(
        f"cat /etc/infisical/{kit_keys.SIGNING_KEY} 2>/dev/null || true", doing="read the keys"
    )
    return (
        kit_keys.compute_fingerprint(kit_keys.parse_signing_key(text).public_key())
        if text.strip()
        else ""
    )


def render_record(record: KitRecord) -> str:
    """Return the content of the record's file."""
    return json.dumps(asdict(record), indent=2) + "\n"


def remember(made: KitRecord) -> None:
    """Keep a record on the current host."""
    write(FILE, render_record(made))


def row(fingerprint: str = "") -> Row | None:
    """Return the status of the current host's kit, as `describe_record` does; None without keys."""
    found = ask(question(kit_fingerprints))
    known = parse_record(found.record) if found.record is not None else None
    return describe_record(known, found.files, fingerprint) if found.files else None


# With other keys than these, the data and the backups on the host can't be read.
_BOUND = ("keys/encryption_key", "keys/restic_password")


@dataclass(frozen=True)
class Placing:
    """The texts to `put` into /etc/infisical, by path, and the paths to move `aside` first."""

    put: Mapping[str, str] = field(default_factory=dict, repr=False)
    aside: tuple[str, ...] = ()


def of_cluster(kit: Mapping[str, str]) -> dict[str, str]:
    """Return the files of a kit that a cluster can use.

    Of the keys, these are the keys for data and people, and the secrets that the user gave. The
    other keys open PostgreSQL, Redis and the Swarm, for which a cluster has keys of its own.
    """
    used = (*_BOUND, "keys/auth_secret", kit_keys.SIGNING_KEY)
    return {
        path: text
        for path, text in kit.items()
        if not path.startswith("keys/") or path in used or path.startswith(f"keys/{GIVEN}")
    }


def decide(kit: Mapping[str, str], host: Mapping[str, str], *, replace: bool) -> Placing:
    """Return which files of a kit to put on the host: all that the host lacks.

    Where both have a file, the host's stays, since it may be newer; with `replace`, the kit's
    replaces it. Both are texts by path; without a kit, `kit` is empty.

    Raises Refused if the host has other keys than the kit, or if neither has an essential file;
    FileError for a file that no kit has.
    """
    check_forms(kit, where="the kit")
    differing = sorted(path for path, text in kit.items() if host.get(path, text) != text)
    bound = [path for path in _BOUND if path in differing]
    if bound and not replace:
        raise Refused(
            f"the host has another {' and another '.join(bound)} than the kit: leave out --kit to "
            "use the host's keys, as after `keys rotate`; or give --replace-keys to use the kit's, "
            "which moves the host's keys and data aside"
        )
    missing = [path for path in ESSENTIAL if path not in kit and path not in host]
    if missing:
        raise Refused(
            f"the host has no /etc/infisical/{missing[0]}: give the recovery kit that has it, "
            "with --kit and --identity"
        )
    put = {path: text for path, text in kit.items() if path not in host}
    if replace:
        put |= {path: kit[path] for path in differing}
    return Placing(put, tuple(path for path in differing if path in put))
