"""`infisical-iac recovery-kit`: write a host's keys into one encrypted file."""

from pathlib import Path

import click

from infisical_iac.backup import signing
from infisical_iac.backup.kit import Kit, compute_sheet_digest, read_text, refuse_existing
from infisical_iac.backup.recipients import Recipient, identities, parse, parse_lines
from infisical_iac.cli.options import Lock, inventory_option, json_option, lock_options, open_host
from infisical_iac.core.terminal import echo, print_data

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
    help="Public age or SSH key that can open the kit, or a file of such keys; may be given again. "
    "[default: the setting recovery_recipients]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write the kit to, outside of your repository, such as ../kit.txt.",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@click.option(
    "--identity",
    type=click.Path(path_type=Path),
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
    with open_host(inventory) as (host, settings):
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
        _report(kit, text, signer, output, opened=bool(known))


def _recipients(given: str) -> list[Recipient]:
    if not given.startswith("@"):
        return [parse(given)]
    return parse_lines(read_text(Path(given[1:])).splitlines())


def _report(kit: Kit, text: str, signer: str, output: Path, *, opened: bool) -> None:
    lines = len(text.splitlines())
    proven = ", opened with the identity given" if opened else ""
    echo(f"{output} holds {len(kit.files)} files, for {', '.join(kit.recipients)}.")
    echo(f"It was read back{proven}; its checksum begins with {compute_sheet_digest(text)}.")
    pages = "a page" if lines <= _LINES_ON_A_PAGE else f"{-(-lines // _LINES_ON_A_PAGE)} pages"
    echo(f"Its {lines} lines fit on {pages}. Keep copies apart from the host and its backups.")
    echo(f"It is signed by {signer}.")
    echo(
        f"Keep this fingerprint apart from the kit, best as `{signing.SETTING}` in your settings: "
        "a restore refuses a kit that another key signed."
    )
