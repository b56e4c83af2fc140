"""`infisical-iac recovery-kit`: a host's keys in one encrypted file, for the day it is gone."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infisical_iac.backup import kit_sheet, kit_trust, signing
from infisical_iac.backup.kit import Kit, KitError, Versions, check
from infisical_iac.backup.kit_sheet import read, seal
from infisical_iac.backup.recipients import Identity, Recipient, identities, parse, parse_lines
from infisical_iac.cli.options import inventory_option, json_option, lock_options, locking
from infisical_iac.core import atomic, audit_log
from infisical_iac.core.terminal import echo, print_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from pyinfra.api.host import Host

    from infisical_iac.backup.kit_host import KitContents
    from infisical_iac.core.settings import Settings


_LINES_ON_A_PAGE = 66


@dataclass(frozen=True)
class _WantedKit:
    recipients: list[Recipient]
    known: list[Identity]
    output: Path
    force: bool


@click.command("recovery-kit")
@inventory_option
@lock_options
@json_option
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="KEY|@FILE",
    help="A public key of age, or of SSH, or a file of them; the setting recovery_recipients.",
)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.option("--force", is_flag=True, help="Replace the file.")
@click.option(
    "--identity",
    type=click.Path(path_type=Path),
    help="A recipient's private key, to prove that it opens the kit.",
)
def recovery_kit(
    inventory: str,
    lock_timeout: int,
    break_lock: bool,
    as_json: bool,
    recipients: tuple[str, ...],
    output: Path,
    force: bool,
    identity: Path | None,
) -> None:
    """Write what a new host needs to read the backups into one file: keys, passwords, credentials.

    It is encrypted for the recipients before it is written, and can be printed. Keep it away from
    the host and its backups, and the fingerprint of the key that signs it, which is printed, in
    another place than the kit: `restore` asks for it.

    Exit status: 0 when it is written and was read back, 1 for an error.
    """
    wanted = _WantedKit(
        [key for each in recipients for key in _recipients(each)],
        identities(read(identity)) if identity else [],
        output,
        force,
    )
    _refuse_existing(wanted)
    kit, text, signer = _make(inventory, locking(lock_timeout, break_lock), wanted)
    if as_json:
        print_data(
            {
                "file": str(output),
                "kit": kit_sheet.fingerprint(text),
                "signed_by": signer,
                "recipients": kit.recipients,
                "files": sorted(kit.files),
                "lines": len(text.splitlines()),
            }
        )
    else:
        _tell(kit, text, signer, wanted)


def _recipients(given: str) -> list[Recipient]:
    if not given.startswith("@"):
        return [parse(given)]
    return parse_lines(read(Path(given[1:])).splitlines())


def _refuse_existing(wanted: _WantedKit) -> None:
    if wanted.output.exists() and not wanted.force:
        raise KitError(f"{wanted.output} is there already: name another file, or give --force")


def _make(
    inventory: str, take_lock: "Callable[[Host], None]", wanted: _WantedKit
) -> tuple[Kit, str, str]:
    """Return the kit, the text of its file, and the fingerprint of the key that signed it."""
    from infisical_iac.backup import kit_host
    from infisical_iac.core import audit
    from infisical_iac.core.inventory import connected
    from infisical_iac.core.settings import load

    with connected(inventory) as host:
        settings = load(host.data.dict())  # type: ignore[no-untyped-call]
        to = wanted.recipients or [parse(each) for each in settings.recovery_recipients]
        if not to:
            raise KitError(
                "nobody is named who could open the kit: give --recipient, or set "
                "recovery_recipients in group_data/hetzner.py"
            )
        take_lock(host)
        changes: list[str] = []
        with audit.recorded("recovery-kit", changes):
            kit = _kit(kit_host.read(), settings, to)
            key = signing_key(kit)
            signer = signing.fingerprint(key.public_key())
            kit_trust.refuse_another(signer, setting=settings.recovery_fingerprint)
            text = seal(kit, to, key, wanted.known)
            _write(text, wanted)
            kit_host.remember(kit_host.record_of(kit, kit_sheet.fingerprint(text), signer))
            changes += [f"recipient {each}" for each in kit.recipients]
    return kit, text, signer


def signing_key(kit: Kit) -> "Ed25519PrivateKey":
    """Return the key on the host that signs its kits. Raises a UserError where there is none."""
    text = kit.files.get(signing.KEY)
    if text is None:
        raise KitError(
            f"there is no /etc/infisical/{signing.KEY} on the host, which signs kits: "
            "`infisical-iac apply` makes it"
        )
    return signing.parse(text)


def _kit(found: "KitContents", settings: "Settings", to: list[Recipient]) -> Kit:
    kit = Kit(
        at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        by=audit_log.who(),
        host=found.values.get("host", ""),
        site_url=settings.site_url,
        versions=Versions(
            infisical=settings.infisical_reference,
            postgres=settings.postgres_image,
            redis=settings.redis_image,
            infisical_id=found.values.get("infisical_id", ""),
            migrations=int(found.values.get("migrations", 0)),
            revision=audit_log.revision(),
        ),
        backup_targets=tuple(each.model_dump() for each in settings.backup_targets),
        workspace=sha256(read(Path(settings.workspace_file)).encode()).hexdigest(),
        recipients=tuple(each.name for each in to),
        files=found.files,
    )
    check(kit)
    return kit


def _write(text: str, wanted: _WantedKit) -> None:
    _refuse_existing(wanted)
    try:
        atomic.write(wanted.output, text, mode=0o600)
        there = wanted.output.read_text()
    except OSError as error:
        raise KitError(f"{wanted.output} can't be written: {error.strerror}") from None
    if there != text:
        raise KitError(f"{wanted.output} does not hold what was written to it: check the disk")


def _tell(kit: Kit, text: str, signer: str, wanted: _WantedKit) -> None:
    lines = len(text.splitlines())
    proven = ", opened with the identity given" if wanted.known else ""
    echo(f"{wanted.output} holds {len(kit.files)} files, for {', '.join(kit.recipients)}.")
    echo(f"It was read back{proven}; its sum begins with {kit_sheet.fingerprint(text)}.")
    pages = "a page" if lines <= _LINES_ON_A_PAGE else f"{-(-lines // _LINES_ON_A_PAGE)} pages"
    echo(f"Its {lines} lines fit on {pages}. Keep copies away from the host and its backups.")
    echo(f"It is signed by {signer}.")
    echo(
        f"Note that apart from the kit, best as `{kit_trust.SETTING}` in group_data/hetzner.py: a "
        "restore takes no kit of another key."
    )
