"""`infisical-iac backup`, `restore` and `recovery-kit`: the data and the keys of a host."""

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infisical_iac.backup import kit_keys
from infisical_iac.backup.kit import (
    Kit,
    Opened,
    compute_sheet_digest,
    open_sheet,
    read_text,
    refuse_existing,
)
from infisical_iac.backup.kit_keys import (
    KnownFingerprints,
    Recipient,
    identities,
    parse_lines,
    parse_recipient,
)
from infisical_iac.backup.record import ListedSnapshots, Record, size
from infisical_iac.cli.deploy import run_or_roll_back
from infisical_iac.cli.main import LazyGroup
from infisical_iac.cli.options import (
    LocalPath,
    Lock,
    inventory_option,
    json_option,
    lock_options,
    name_inventory,
    open_host,
    require_project_file,
    yes_option,
)
from infisical_iac.cli.output import print_table
from infisical_iac.core import terminal
from infisical_iac.core.errors import FileError, RunFailed, UserError
from infisical_iac.core.terminal import echo, print_data
from infisical_iac.core.wording import pluralize

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from infisical_iac.backup.restore import SnapshotSource
    from infisical_iac.backup.settings import BackupSettings
    from infisical_iac.core.settings import Settings


@click.group(
    cls=LazyGroup,
    summaries={"now": "Make a backup now.", "list": "List the snapshots in every target."},
    module="backup",
)
def backup() -> None:
    """Make a backup now, in addition to the host's own timer, and list the snapshots."""


@click.command()
@inventory_option
@lock_options
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=3600,
    show_default=True,
    help="Seconds to wait for the backup to end.",
)
@json_option
def now(inventory: str, lock: Lock, timeout: int, as_json: bool) -> None:
    """Make a backup in every target, and report the new snapshots.

    The command starts the same unit as the host's timer.

    Exit status: 0 if every target has a new snapshot; 1 if one has not, with the reason, or for an
    error.
    """
    from infisical_iac.backup import record
    from infisical_iac.core import audit
    from infisical_iac.core.inventory import connect

    with connect(inventory) as host:
        on_cluster = host.data.get("topology") == "swarm"
        lock(host)
        changes: list[str] = []
        with audit.record("backup", changes):
            found = record.back_up(timeout, on_cluster=on_cluster)
            changes += [
                f"+ snapshot {each.snapshot} in {each.name}" for each in found.saved_targets
            ]
            _report(found, as_json=as_json)
            if found.failure:
                raise RunFailed(f"the backup failed: {found.failure}")


def _report(found: Record, *, as_json: bool) -> None:
    if as_json:
        keys = ("name", "snapshot", "added", "snapshots")
        saved = [{key: getattr(each, key) for key in keys} for each in found.saved_targets]
        print_data({"bytes": found.bytes, "failure": found.failure, "saved": saved})
        return
    for each in found.saved_targets:
        echo(
            f"{each.name}: snapshot {each.snapshot} of {size(found.bytes)}, "
            f"{size(each.added)} of it new; {pluralize(each.snapshots, 'snapshot')} in total"
        )


@click.command("list")
@inventory_option
@json_option
def list_command(inventory: str, as_json: bool) -> None:
    """List the snapshots in every target: time, version and size.

    Exit status: 0 if every target could be read; 1 if one could not, with the reason.
    """
    from infisical_iac.core.inventory import connect

    with connect(inventory):
        from infisical_iac.backup import record

        found, key = record.list_snapshots()
    if as_json:
        print_data([_listed_data(each) for each in found])
    else:
        for each in found:
            if not each.error:
                _show(each)
        if key:
            echo(f"The host's public key for SFTP targets: {key}")
    failed = [f"{each.name}: {each.error}" for each in found if each.error]
    if failed:
        raise UserError(f"not every target could be read: {'; '.join(failed)}")


def _show(listed: ListedSnapshots) -> None:
    rows = [
        (each.id, f"{each.at:%Y-%m-%d %H:%M:%S %Z}", each.version, size(each.bytes), each.secrets)
        for each in listed.snapshots
    ]
    columns = ("Snapshot", "At", "Version", "Size", "Secrets")
    print_table(columns, rows, numbers=("Size", "Secrets"), title=listed.name)


def _listed_data(listed: ListedSnapshots) -> dict[str, object]:
    return {
        "name": listed.name,
        "error": listed.error,
        "snapshots": [{**asdict(each), "at": each.at.isoformat()} for each in listed.snapshots],
    }


@click.command()
@name_inventory("--to", help="The inventory that names the host to restore onto.")
@yes_option
@lock_options
@click.option(
    "--snapshot",
    default="latest",
    show_default=True,
    help="Snapshot to restore, as `backup list` names it.",
)
@click.option("--from", "target", help="Backup target to take the snapshot from. [default: any]")
@click.option(
    "--kit", type=LocalPath(exists=True, dir_okay=False), help="File of the recovery kit."
)
@click.option(
    "--identity",
    type=LocalPath(exists=True, dir_okay=False),
    help="Private key that opens the recovery kit.",
)
@click.option(
    "--fingerprint",
    default="",
    help="Fingerprint of the key that signed the kit, as noted when the kit was made.",
)
@click.option(
    "--accept-unsigned-kit", is_flag=True, help="Accept an unsigned kit, made by an older version."
)
@click.option("--replace-keys", is_flag=True, help="Replace the host's keys with the kit's.")
@click.option(
    "--undo", is_flag=True, help="Bring back the data that an interrupted restore moved aside."
)
@click.option("--drill", is_flag=True, help="Only prove that the snapshot can be restored.")
def restore(
    inventory: str,
    yes: bool,
    lock: Lock,
    snapshot: str,
    target: str | None,
    kit: Path | None,
    identity: Path | None,
    fingerprint: str,
    accept_unsigned_kit: bool,
    replace_keys: bool,
    undo: bool,
    drill: bool,
) -> None:
    """Restore Infisical from a snapshot, with the keys on the host or in a recovery kit.

    The snapshot is loaded next to the old data and compared with its manifest. Then it replaces
    them, and logins of people and machines are checked. If anything fails, the old data are put
    back. After a success the old data are kept, moved aside.

    A kit is used only if the deployment's own key signed it: the host's key, the one with the
    fingerprint in --fingerprint or in the setting recovery_fingerprint, or one that you confirm
    when asked.

    With --drill the host runs the drill of its monthly timer now: it loads the snapshot next to the
    running data, starts Infisical on it without network access, reads its content, and removes all
    of it.

    Exit status: 0 when the restored state is proven; 1 for an error, with the state of the host.
    """
    if drill:
        if kit or identity or fingerprint or accept_unsigned_kit or replace_keys or undo:
            raise click.UsageError(
                "--drill uses the host's keys and changes nothing: give only --snapshot and --from "
                "with it"
            )
        _drill(inventory, snapshot, target)
        return
    if kit is None and (fingerprint or accept_unsigned_kit):
        raise click.UsageError(
            "--fingerprint and --accept-unsigned-kit are for a kit: give --kit too"
        )
    if fingerprint and not re.fullmatch(kit_keys.FINGERPRINT, fingerprint):
        raise click.UsageError(
            "--fingerprint takes SHA256: with 43 characters after it, as `recovery-kit` prints it"
        )
    known = KnownFingerprints(fingerprint, unsigned=accept_unsigned_kit)
    opened = _open_kit(kit, identity)
    check = (lambda _: None) if undo else require_project_file
    with open_host(inventory, lock, check=check) as (host, settings):
        from infisical_iac.backup import kit_host, restore_deploy
        from infisical_iac.backup.restore import choose_source

        restore_deploy.undo(settings, asked=undo)
        if undo:
            return
        _refuse_others(opened, known, settings.backup, ask=not yes)
        source = choose_source(settings.backup, snapshot, target, opened, replace_keys)
        _restore(host, source, settings, yes=yes)
        if kit and opened:  # So that `status` reports the kit on the new host too.
            printed = compute_sheet_digest(read_text(kit))
            kit_host.remember(kit_host.record_of(opened.kit, printed, opened.signer))


def _drill(inventory: str, snapshot: str, target: str | None) -> None:
    """Run a drill, without the host's lock: a drill changes nothing that a run uses."""
    if not re.fullmatch(r"latest|[0-9a-f]{4,64}", snapshot):
        raise UserError(f"{snapshot!r} is not a snapshot: `infisical-iac backup list` lists them")
    with open_host(inventory) as (_, settings):
        from infisical_iac.backup import record

        found = record.drill(snapshot, target, settings.backup.backup_targets)
    seconds = (found.ended - found.began).total_seconds()
    echo(f"Proven in {seconds:.0f} s: {found.proof}.")


def _open_kit(kit: Path | None, identity: Path | None) -> Opened | None:
    if kit is None:
        return None
    if identity is None:
        raise FileError("a private key opens the kit: give its file with --identity")
    return open_sheet(read_text(kit), identities(read_text(identity)))


def _refuse_others(
    opened: Opened | None, known: KnownFingerprints, settings: "BackupSettings", *, ask: bool
) -> None:
    """Raise FileError for a kit that the deployment did not sign.

    Args:
        known: the fingerprint given as an option. The setting and the host's own key are added.
        ask: whether to ask the operator if no fingerprint is known, instead of refusing the kit.
    """
    from infisical_iac.backup import kit_host

    if opened is None:
        return
    known = replace(known, setting=settings.recovery_fingerprint, own=kit_host.signer())
    if not kit_keys.check_signer(opened.signer, known):
        return
    try:
        if ask and terminal.confirm(kit_keys.trust_question(opened.signer), err=True):
            return
    except click.Abort:  # There is no terminal for the question.
        pass
    raise kit_keys.refuse_unasked(opened.signer)


def _restore(host: "Host", source: "SnapshotSource", settings: "Settings", *, yes: bool) -> None:
    from infisical_iac.backup import restore_deploy

    run_or_roll_back(
        host,
        lambda: restore_deploy.restoring(source),
        lambda: restore_deploy.go_back(settings),
        name="restore",
        what="The old data",
        remedy="`infisical-iac restore --undo` brings the old data back",
        question="Undo everything since the snapshot, and move the present data aside?",
        done="Restored",
        yes=yes,
    )


_LINES_ON_A_PAGE = 66


@click.command("recovery-kit")
@inventory_option
@lock_options
@json_option
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="KEY|@FILE",
    help="Public age or SSH key that can open the kit, or @ and a file of keys; may be given "
    "again. [default: the setting recovery_recipients]",
)
@click.option(
    "--output",
    type=LocalPath(dir_okay=False),
    required=True,
    help="File to write the kit to, outside of your repository, such as ../kit.txt.",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@click.option(
    "--identity",
    type=LocalPath(exists=True, dir_okay=False),
    help="Private key of a recipient, to prove that it opens the kit.",
)
def recovery_kit(
    inventory: str,
    lock: Lock,
    as_json: bool,
    recipients: tuple[str, ...],
    output: Path,
    force: bool,
    identity: Path | None,
) -> None:
    """Write the keys, passwords and credentials that a new host needs to restore a backup into one
    file.

    The kit is encrypted for its recipients, and can be printed. Keep it apart from the host and its
    backups. The command prints the fingerprint of the key that signs the kit, which `restore` asks
    for: keep it apart from the kit.

    Exit status: 0 when the kit is written and was read back; 1 for an error.
    """
    given = [key for each in recipients for key in _recipients(each)]
    known = identities(read_text(identity)) if identity else []
    refuse_existing(output, force=force)
    with open_host(inventory, check=_read_project_file) as (host, settings):
        from infisical_iac.backup import kit_host

        to = kit_host.choose_recipients(given, settings.backup)
        lock(host)
        kit, text, signer = kit_host.make(settings, to, known, output, force=force)
    if as_json:
        print_data(
            {
                "file": str(output),
                "kit": compute_sheet_digest(text),
                "signed_by": signer,
                "recipients": kit.recipients,
                "files": sorted(kit.files),
                "lines": len(text.splitlines()),
            }
        )
    else:
        _report_kit(kit, text, signer, output, opened=bool(known))


def _read_project_file(settings: "Settings") -> None:
    """Raise FileError before the connection if the kit can't get a copy of the project file."""
    read_text(Path(settings.workspace.workspace_file))


def _recipients(given: str) -> list[Recipient]:
    if not given.startswith("@"):
        return [parse_recipient(given)]
    return parse_lines(read_text(Path(given[1:])).splitlines())


def _report_kit(kit: Kit, text: str, signer: str, output: Path, *, opened: bool) -> None:
    lines = len(text.splitlines())
    proven = ", opened with the identity given" if opened else ""
    echo(f"{output} holds {len(kit.files)} files, for {', '.join(kit.recipients)}.")
    echo(f"It was read back{proven}; its checksum begins with {compute_sheet_digest(text)}.")
    pages = "a page" if lines <= _LINES_ON_A_PAGE else f"{-(-lines // _LINES_ON_A_PAGE)} pages"
    echo(f"Its {lines} lines fit on {pages}. Keep copies apart from the host and its backups.")
    echo(f"It is signed by {signer}.")
    echo(
        f"Keep this fingerprint apart from the kit, best as `{kit_keys.SETTING}` in your settings: "
        "a restore refuses a kit that another key signed."
    )
