"""`infisical-iac status`: how the host is, on one screen."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from urllib.parse import urlsplit

import click
from rich.markup import escape

from infisical_iac.cli.items import console
from infisical_iac.cli.options import inventory_option, json_option
from infisical_iac.condition import Row, rows


@click.command()
@inventory_option
@json_option
@click.pass_context
def status(ctx: click.Context, inventory: str, as_json: bool) -> None:
    """Show versions, health, disk, certificate, the last backup and apply, and pending drift.

    Nothing is changed. Exit status: 0 if all is well, 1 if something is not or for an error.
    """
    found = _look(inventory)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in found], indent=2, ensure_ascii=False))
    else:
        for row in found:
            mark = "[green]✓[/]" if row.ok else "[red]✗[/]"
            console().print(f"{mark} {row.name:12} {escape(row.text)}")
    ctx.exit(0 if all(row.ok for row in found) else 1)


def _look(inventory: str) -> list[Row]:
    from infisical_iac.auditing import doings
    from infisical_iac.cli.deployment import looked
    from infisical_iac.facts.condition import Condition
    from infisical_iac.operations import audit
    from infisical_iac.settings import load

    with looked(inventory, writes=None) as deployment:
        host, journal = deployment.host, deployment.journal
        settings = load(host.data.dict())  # type: ignore[no-untyped-call]
        url = urlsplit(settings.site_url)
        name = (url.hostname or "") if url.scheme == "https" else ""
        condition = host.get_fact(Condition, served_name=name)
        log = doings(audit.read().entries)
    pending = [*map(str, journal.planned), *(f"? {each}" for each in journal.unknown)]
    return rows(condition, settings, log, pending, datetime.now(UTC))
