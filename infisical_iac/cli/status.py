"""`infisical-iac status`: how the host is, on one screen."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from rich.markup import escape

from infisical_iac.cli.options import inventory_option, json_option
from infisical_iac.core.errors import UserError
from infisical_iac.core.item import Row
from infisical_iac.core.terminal import console, print_data
from infisical_iac.monitoring.condition import access, drift, instance, rows

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from infisical_iac.core.settings import Settings
    from infisical_iac.stack.settings import StackSettings


@click.command()
@inventory_option
@json_option
@click.pass_context
def status(ctx: click.Context, inventory: str, as_json: bool) -> None:
    """Show versions, health, disk, certificate, the last backup, drill and apply, pending drift,
    access that nothing in the file gives, what the instance has besides, and the recovery kit.

    Nothing is changed. Exit status: 0 if all is well, 1 if something is not or for an error.
    """
    found = _look(inventory)
    if as_json:
        print_data([asdict(row) for row in found])
    else:
        for row in found:
            mark = "[green]✓[/]" if row.ok else "[red]✗[/]"
            console().print(f"{mark} {row.name:12} {escape(row.text)}")
    ctx.exit(0 if all(row.ok for row in found) else 1)


def _look(inventory: str) -> list[Row]:
    from infisical_iac.backup import kit_host
    from infisical_iac.core import audit, lock
    from infisical_iac.core.connection import with_others
    from infisical_iac.core.hosts import each_of
    from infisical_iac.core.inventory import connected
    from infisical_iac.core.settings import load
    from infisical_iac.host.machine import Machine, absence
    from infisical_iac.monitoring.condition_fact import Condition

    with connected(inventory, quorum=False) as host:
        settings = load(host.data.dict())  # type: ignore[no-untyped-call]
        hosts = with_others(host)
        machines = each_of(hosts, lambda each: each.get_fact(Machine))
        named = {each.name: machine for each, machine in zip(hosts, machines, strict=True)}
        away = [each.name for each in host.state.inventory if each.name not in named]
        if sentence := absence(named, topology=settings.cluster.topology, away=bool(away)):
            return [Row("Infisical", sentence, ok=False)]
        url = urlsplit(settings.stack.site_url)
        name = (url.hostname or "") if url.scheme == "https" else ""
        asked = {"served_name": name, "port": url.port or 443, "lock": lock.FILE}
        if settings.cluster.topology == "swarm":
            found = _cluster(host, away, settings, asked)
        else:
            condition = host.get_fact(Condition, **asked)
            drifted, inside = _drift(host, settings)
            found = rows(condition, settings, audit.read(), drifted, datetime.now(UTC), inside)
        kit = kit_host.row(settings.backup.recovery_fingerprint)
        return [*found, *([kit] if kit else [])]


def _cluster(
    host: "Host", away: list[str], settings: "Settings", asked: dict[str, Any]
) -> list[Row]:
    from infisical_iac.cluster import status as cluster_status
    from infisical_iac.cluster.stack_state import NodeCondition
    from infisical_iac.core.connection import with_others
    from infisical_iac.core.hosts import each_of

    hosts = with_others(host)
    looks = each_of(hosts, lambda each: each.get_fact(NodeCondition, **asked))
    nodes = {each.name: look for each, look in zip(hosts, looks, strict=True)}
    now = datetime.now(UTC)
    drifted, inside = _drift(host, settings)
    return cluster_status.rows(nodes, away, settings, host.name, drifted, now, inside)


def _drift(host: "Host", settings: "Settings") -> tuple[Row, list[Row]]:
    """Return the row on drift, and those on access and on what else the instance has."""
    from infisical_iac.core.deployment import look

    try:
        deployment = look(host)
        drifted = drift(deployment.lines())
    except UserError as error:
        return drift((), error=str(error)), []
    if not deployment.journal.sees_access:
        return drifted, []
    return drifted, [*access(deployment.journal.foreign), *_instance(settings.stack)]


def _instance(settings: "StackSettings") -> list[Row]:
    from infisical_iac.workspace.reconcile import beyond

    try:
        return instance(beyond(settings.http_port))
    except UserError as error:
        return instance(None, error=str(error))
