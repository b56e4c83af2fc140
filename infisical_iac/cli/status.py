"""`infisical-iac status` and `drift`: the health of the deployment, and its differences."""

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
from rich.markup import escape

from infisical_iac.cli.options import (
    FOUND,
    LocalPath,
    html_option,
    inventory_option,
    json_option,
    open_host,
)
from infisical_iac.cli.output import print_notes
from infisical_iac.core import atomic
from infisical_iac.core.change import Row
from infisical_iac.core.errors import FileError, UserError
from infisical_iac.core.terminal import console, echo, print_data
from infisical_iac.monitoring import health
from infisical_iac.monitoring.drift import check, message, metrics, post
from infisical_iac.workspace.second_factor import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinfra.api.host import Host

    from infisical_iac.change.outdated import VersionReport
    from infisical_iac.check.model import CheckFinding
    from infisical_iac.core.agent import Question
    from infisical_iac.core.audit_entries import Log
    from infisical_iac.core.settings import Settings
    from infisical_iac.monitoring.health import HealthState
    from infisical_iac.monitoring.model import ValueSurvey
    from infisical_iac.monitoring.report import StatusReport


@click.command()
@inventory_option
@json_option
@html_option
@click.option(
    "--values",
    is_flag=True,
    help="With --html: also list old, weak, equal, missing and unread secrets, by name only.",
)
@click.pass_context
def status(
    ctx: click.Context, inventory: str, as_json: bool, page: Path | None, values: bool
) -> None:
    """Show versions, health, disk, certificate, the last backup, drill and apply, pending drift,
    access that the project file does not grant, people without a second factor, unexpected content
    of the instance, the mail server, the sign-in page, the license, what is left to others on a
    shared host, the recovery kit, and new versions.

    Nothing is changed.

    Exit status: 0 if everything is healthy; 1 if something is not, or for an error.
    """
    from infisical_iac.monitoring import report

    if values and not page:
        raise click.UsageError("--values is for the page: add --html FILE")
    facts = report.StatusReport(Path(inventory).stem, datetime.now(UTC)) if page else None
    found = _collect_rows(inventory, facts)
    if as_json:
        print_data([{"name": row.name, "text": row.text, "ok": row.ok} for row in found])
    else:
        for row in found:
            console().print(f"{_mark(row)} {row.name:12} {escape(row.text)}")
    if page and facts:
        if values and facts.settings:
            facts.values = survey_values(inventory, facts.at)
        report.write(page, report.status_page(facts, found))
    ctx.exit(0 if all(row.ok for row in found) else 1)


def survey_values(inventory: str, now: datetime) -> "ValueSurvey":
    """Return the problems of the secrets; a failure to read them is a note."""
    from infisical_iac.check import survey
    from infisical_iac.monitoring.model import ValueSurvey
    from infisical_iac.workspace.memory import locate
    from infisical_iac.workspace.reach import reach
    from infisical_iac.workspace.stored_secrets import read_secrets

    try:
        with reach(inventory, None, None, needs_admin=False) as reached:
            layout, workspace = locate(reached.client, reached, partly=True), reached.desired
            slugs = [each.slug for each in workspace.environments]
            listed = read_secrets(reached.client, layout, slugs, values=True)
            not_read: list[CheckFinding] = []
            if workspace.hygiene.unread_days and reached.read_accesses:
                reads = reached.read_accesses(survey.oldest_read(workspace, now))
                not_read += survey.unread(listed.secrets, reads, layout, workspace, now)
            read = survey.version_reader(reached.client, layout)
            return survey.survey(listed, workspace, now, read, not_read)
    except UserError as error:
        return ValueSurvey([], [f"The secrets could not be assessed: {error}"])


def _mark(row: Row) -> str:
    """Return the mark of a row; a note has no tick, as it proves no health."""
    if not row.ok:
        return "[red]✗[/]"
    return "[dim]·[/]" if row.is_note else "[green]✓[/]"


def _collect_rows(inventory: str, facts: "StatusReport | None" = None) -> list[Row]:
    """Return the rows, and add the facts of a page to `facts`, if one is to be written."""
    with open_host(inventory, quorum=False) as (host, settings):
        from infisical_iac.agent.files import texts
        from infisical_iac.backup import kit_host
        from infisical_iac.backup.record import HISTORIES
        from infisical_iac.change import outdated
        from infisical_iac.core import audit, lock
        from infisical_iac.core.agent import ask, question
        from infisical_iac.core.audit_entries import list_runs
        from infisical_iac.core.connection import each_of, with_others
        from infisical_iac.host.machine import absence, read_machine
        from infisical_iac.instance import proof
        from infisical_iac.monitoring.health import first_apply, health_question
        from infisical_iac.workspace import licensing, sign_in

        wait_for_versions = _ask_for_new_versions(settings)
        hosts, topology = with_others(host), settings.cluster.topology
        machines = each_of(hosts, lambda _: read_machine())
        named = {each.name: machine for each, machine in zip(hosts, machines, strict=True)}
        unreachable = [each.name for each in host.state.inventory if each.name not in named]
        url = urlsplit(settings.stack.site_url)
        name = (url.hostname or "") if url.scheme == "https" else ""
        asked = health_question(
            served_name=name,
            port=url.port or 443,
            lock=lock.FILE,
            monitored=settings.monitoring.monitoring == "on",
        )
        if sentence := absence(named, topology=topology, has_unreachable=bool(unreachable)):
            bare = each_of(hosts, lambda _: ask(asked))
            begun = first_apply(bare, list_runs(audit.read().entries))
            return [begun or Row("Infisical", sentence, ok=False)]
        if topology == "swarm":
            from infisical_iac.cluster import status as cluster_status
            from infisical_iac.cluster.stack_state import node_question

            states = each_of(hosts, lambda _: ask(node_question(asked)))
            nodes, now = dict(zip(named, states, strict=True)), datetime.now(UTC)
            runs = [run for each in states for run in list_runs(each.log.entries)]
            if begun := first_apply((each.health for each in states), runs):
                return [begun]
            drifted, inside = _assess_drift(host, settings, facts)
            if facts:
                facts.states = {name: each.health for name, each in nodes.items()}
                facts.logs = {name: each.log for name, each in nodes.items()}
                tasks = (task for each in states for task in each.tasks.items())
                for role, running in tasks:
                    facts.running.setdefault(role, []).extend(each.image for each in running)
            found = cluster_status.rows(
                nodes, unreachable, settings, host.name, drifted, now, inside
            )
        else:
            state, log = _observe(asked)
            if begun := first_apply([state], list_runs(log.entries)):
                return [begun]
            drifted, inside = _assess_drift(host, settings, facts)
            if facts:
                facts.states, facts.logs = {host.name: state}, {host.name: log}
                facts.running = {
                    name: [each.image] for name, each in state.facts.containers.items()
                }
            found = health.rows(state, settings, log, drifted, datetime.now(UTC), inside)
            found += health.shared_host(settings, machines[0])
        kit = kit_host.row(settings.backup.recovery_fingerprint)
        found += proof.mail_row(settings) + proof.proxy_row(settings)
        found += [*sign_in.rows(settings), *licensing.rows(settings)]
        newest = wait_for_versions()
        if facts:
            facts.settings, facts.newest = settings, newest
            histories = each_of(hosts, lambda _: ask(question(texts, paths=[*HISTORIES])))
            for name, there in zip(named, histories, strict=True):
                facts.histories[name] = (there.get(HISTORIES[0], ""), there.get(HISTORIES[1], ""))
        return [*found, *([kit] if kit else []), *([outdated.row(newest)] if newest else [])]


def _observe(asked: "Question[HealthState]") -> tuple["HealthState", "Log"]:
    """Return the health of the current host and its audit log, read in one remote command."""
    from infisical_iac.core import audit
    from infisical_iac.core.agent import ask, together
    from infisical_iac.core.audit_entries import parse
    from infisical_iac.core.files import text_question

    return ask(
        together(
            lambda observed, texts: (observed, parse(texts.get(audit.FILE, "").removesuffix("\n"))),
            asked,
            text_question(audit.FILE),
        )
    )


def _ask_for_new_versions(settings: "Settings") -> "Callable[[], list[VersionReport]]":
    """Ask for new versions in a thread, and return a function that waits for them.

    A host that gets its images from archives may have no access to a registry: then no registry is
    asked, and there is no report.
    """
    from infisical_iac.change import outdated

    if settings.stack.image_archives:
        return list
    found: list[VersionReport] = []
    asking = threading.Thread(
        target=lambda: found.extend(outdated.compare(settings, timeout=outdated.TIME_LIMIT)),
        daemon=True,
    )
    asking.start()

    def wait() -> "list[VersionReport]":
        asking.join(outdated.TIME_LIMIT)
        return found

    return wait


def _assess_drift(
    host: "Host", settings: "Settings", facts: "StatusReport | None" = None
) -> tuple[Row, list[Row]]:
    """Return the row on drift, and the rows on the content of Infisical.

    The latter are about access, second factors, and unexpected content of the instance. The access
    that was read is added to `facts`.
    """
    from infisical_iac.core.deployment import prepare
    from infisical_iac.workspace.load import load_declared
    from infisical_iac.workspace.reconcile import count_undeclared, known_access, read_factors

    try:
        if facts:
            facts.desired = load_declared(settings.workspace)
        deployment = prepare(host)
        drifted = health.drift_row(deployment.lines())
    except UserError as error:
        return health.drift_row((), error=str(error)), []
    if not deployment.journal.sees_access:
        return drifted, []
    if facts:
        facts.access, facts.foreign = known_access(), deployment.journal.foreign
    try:
        content = health.instance(count_undeclared(settings.stack.http_port))
    except UserError as error:
        content = health.instance(None, error=str(error))
    # The row on second factors makes these notes superfluous.
    notes = [each for each in deployment.journal.access_notes if not each.startswith(PREFIX)]
    granted = health.access(deployment.journal.foreign, notes)
    inside = settings.workspace
    rule = load_declared(inside).require_second_factor
    factors = health.second_factors(read_factors(), inside.admin_email, rule)
    return drifted, [*granted, factors, *content]


@click.command()
@inventory_option
@json_option
@click.option(
    "--webhook-file",
    type=LocalPath(exists=True, dir_okay=False),
    help="File with the webhook's address; drift and errors are posted there. [default: the "
    "address in INFISICAL_IAC_WEBHOOK]",
)
# 0.3 removes this option.
@click.option("--webhook", hidden=True)
@click.option(
    "--textfile",
    type=LocalPath(dir_okay=False),
    help="Write metrics for node_exporter's textfile collector to this file, such as "
    "…/infisical_iac.prom.",
)
@click.option("--watch", is_flag=True, help="Repeat the check until interrupted.")
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=900,
    show_default=True,
    help="Seconds between two checks with --watch.",
)
@click.pass_context
def drift(
    ctx: click.Context,
    inventory: str,
    as_json: bool,
    webhook_file: Path | None,
    webhook: str | None,
    textfile: Path | None,
    watch: bool,
    every: int,
) -> None:
    """Compare the host and Infisical with the declared state, and report differences to a webhook
    and to Prometheus.

    Nothing is changed. Run a single check from a systemd timer or a CI job, as in examples/drift;
    --watch repeats it. Access that the project file does not grant (`*`) is drift too.

    Exit status: 0 if all is as declared; 2 for drift; 1 for an error, or if a part of the deploy is
    blocked.
    """
    if webhook:
        note = (
            "everybody who can list this machine's processes sees --webhook URL, and a later "
            "release removes it: set INFISICAL_IAC_WEBHOOK, or give --webhook-file"
        )
        print_notes([note])
    webhook = webhook or _webhook(webhook_file)
    if watch:
        _watch(every)
    answer = check(inventory)
    if as_json:
        print_data(message(answer), indent=None)
    else:
        echo(answer.sentence)
        print_notes(answer.notes)
    if textfile:
        with atomic.explain_failure(textfile):
            atomic.write(textfile, metrics(answer), mode=0o644)
    if webhook and not answer.is_as_declared:
        post(webhook, answer)
    ctx.exit(1 if answer.error or answer.blocked_parts else 0 if answer.is_as_declared else FOUND)


def _webhook(file: Path | None) -> str:
    if file is None:
        return os.environ.get("INFISICAL_IAC_WEBHOOK", "")
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise FileError(
            f"{file} can't be read: write the webhook's address into it, and nothing else"
        ) from None


def _watch(every: int) -> None:
    # Each check runs in a process of its own, so that its connections and logins end with it. Each
    # such process has its own session, so that Ctrl-C reaches only the process that repeats them.
    command = [sys.executable, *(each for each in sys.argv if each != "--watch")]
    while True:
        subprocess.run(command, check=False, start_new_session=True)
        time.sleep(every)
