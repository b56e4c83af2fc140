"""`infisical-iac plan`, `apply` and `destroy`: plan and run a deploy, or remove the stack."""

import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from infisical_iac.cli.options import (
    FOUND,
    Lock,
    html_option,
    inventory_option,
    json_option,
    lock_options,
    yes_option,
)
from infisical_iac.cli.output import (
    as_data,
    confirm,
    confirm_name,
    count,
    explain_links,
    print_foreign,
    print_notes,
    print_table,
    show,
    show_plan,
)
from infisical_iac.core.errors import Refused, RunFailed, UserError
from infisical_iac.core.terminal import console, echo, print_data
from infisical_iac.core.wording import join_first, pluralize

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from infisical_iac.core.change import Change
    from infisical_iac.core.deployment import Deployment, DeployStep
    from infisical_iac.core.settings import Settings
    from infisical_iac.stack.deploy import HostRemoval
    from infisical_iac.workspace.model import Workspace


@click.command()
@inventory_option
@json_option
@html_option
@click.pass_context
def plan(ctx: click.Context, inventory: str, as_json: bool, page: Path | None) -> None:
    """Show what `apply` would change on the host and inside Infisical, and change nothing.

    `+` is created, `~` changed, `-` removed. `?` can't be seen before other changes are made. `!`
    is blocked: it can't be read or changed, for the reason given. `*` is access to the project that
    the project file does not grant: it stays. Notes list containers that restart, and credentials
    that expire soon or were not delivered everywhere.

    Exit status: 0 for nothing to change; 2 for changes; 1 for an error, or if something is blocked
    (`!`).
    """
    # The import patches the process with gevent, which other commands do not need.
    from infisical_iac.core.deployment import open_deployment

    # isort: split
    from infisical_iac.workspace.deploy import credential_warnings
    from infisical_iac.workspace.preflight import read_local_files

    with open_deployment(inventory, writes=None, check=read_local_files) as deployment:
        (planned, unknown), blocked = deployment.plan(), deployment.journal.blocked_parts
        foreign = deployment.journal.foreign
        notes = [*credential_warnings(), *deployment.journal.notes]
    restarting = restarts(planned)
    if as_json:
        data: dict[str, object] = {"changes": as_data(planned), "blocked": as_data(blocked)}
        data |= {"foreign": as_data(foreign), "unknown": unknown}
        print_data({**data, "notes": [*notes, *restarting]})
    else:
        show_plan(deployment.journal.planned_steps, blocked, unknown)
        changes = f"{count(planned)} to make" if planned else "Nothing to change"
        echo(f"{changes}; {len(blocked)} blocked." if blocked else f"{changes}.")
        print_foreign(foreign)
    print_notes([*notes, *restarting])
    if page:
        from infisical_iac.monitoring import report

        text = report.plan_page(
            Path(inventory).stem,
            datetime.now(UTC),
            steps=deployment.journal.planned_steps,
            blocked=blocked,
            unknown=unknown,
            foreign=foreign,
            restarts=restarting,
            notes=notes,
        )
        report.write(page, text)
    ctx.exit(1 if blocked else 0 if deployment.is_up_to_date else FOUND)


@click.command()
@inventory_option
@yes_option
@lock_options
@json_option
def apply(inventory: str, yes: bool, lock: Lock, as_json: bool) -> None:
    """Show the plan, ask, and bring the host and Infisical to the declared state.

    Only differences are changed. The next run completes an interrupted one. If a part is blocked,
    the rest is done nevertheless.

    Exit status: 0 when everything is as declared; 1 for an error, if something is blocked, or if
    you answer no.
    """
    from infisical_iac.core.deployment import open_deployment

    # isort: split
    from infisical_iac.backup import kit_host
    from infisical_iac.core.settings import load
    from infisical_iac.workspace.load import load_declared
    from infisical_iac.workspace.preflight import read_local_files

    started = time.monotonic()
    with open_deployment(inventory, writes=lock, check=read_local_files) as deployment:
        journal = deployment.journal
        if not deployment.is_up_to_date and not (yes and as_json):
            show_plan(journal.planned_steps, journal.blocked_parts, journal.unknown, stderr=as_json)
        print_notes([*journal.notes, *restarts(journal.planned_changes)])
        foreign = journal.foreign
        if not as_json:
            print_foreign(foreign)
        planned = journal.planned_changes
        if deployment.has_work:
            asked = time.monotonic()
            confirm("Make these changes?", yes=yes)
            started += time.monotonic() - asked  # The wait for the answer is not part of the run.
        steps = run(deployment) if deployment.has_work else []
        has_kit = not steps or kit_host.exists()
        made = journal.made_changes
    seconds = time.monotonic() - started
    if as_json:
        blocked = as_data(journal.blocked_parts)
        found = {"changes": as_data(made), "blocked": blocked, "foreign": as_data(foreign)}
        print_data({**found, "seconds": round(seconds, 1)})
    else:
        _summarize(steps, seconds, planned)
        if steps:
            host = deployment.host
            data = {"ssh_hostname": host.name, **host.data.dict()}  # type: ignore[no-untyped-call]
            settings = load(data)
            services = find_new_services(load_declared(settings.workspace), made)
            if remaining := next_steps(settings, data, made, services, has_kit=has_kit):
                echo(remaining)
    _print_operator_notes(deployment)
    deployment.refuse_blocked()


# Infisical is unreachable while one of these restarts; it needs 15 to 40 seconds to start.
_SERVING = {"infisical", "postgres", "redis", "caddy"}
# The version changes in a plan that migrate the data.
_VERSIONS = {"Infisical", "PostgreSQL"}


def restarts(planned: Iterable["Change"]) -> list[str]:
    """Return notes on the restarts of a run, and on the time without logins.

    On a single host, a container is re-created; a change of version also dumps and loads the data.
    In a cluster, a service changes one replica after the other, also for a new version. Writes are
    interrupted only when the primary PostgreSQL changes, until another one is the primary.
    """
    changed = {change.what for change in planned if change.kind == "~"}
    containers, services = (
        sorted(what.removeprefix(prefix) for what in changed if what.startswith(prefix))
        for prefix in ("container ", "service ")
    )
    has_upgrade = not services and not changed.isdisjoint(_VERSIONS)
    notes = []
    if containers:
        is_short = not has_upgrade and not _SERVING.isdisjoint(containers)
        outage = "; nobody can log in for about a minute" if is_short else ""
        notes.append(f"containers that restart: {', '.join(containers)}{outage}")
    if has_upgrade:
        notes.append(
            "nobody can log in from the dump until the new version has started: half a minute for "
            "a small database, longer for a large one"
        )
    if services:
        writes = any(each.startswith("postgres") for each in services)
        outage = "; writes pause for some seconds" if writes else "; logins continue"
        notes.append(f"services that change replica by replica: {', '.join(services)}{outage}")
    return notes


# The objects whose creation makes a first login necessary, or one with a new password.
_FIRST_LOGIN = ("administrator ", "/etc/infisical/admin.env")


def find_new_services(workspace: "Workspace", made: "Iterable[Change]") -> list[str]:
    """Return the services that a run has added or renamed: those whose .infisical.json is stale.

    Args:
        made: the changes of the run. A service was added if the run made all of its identities, or
            all of its credentials; a new environment has only some of each.
    """
    created, changed = ({each.what for each in made if each.kind == kind} for kind in ("+", "~"))
    found = []
    for name in workspace.services:
        accounts = [each for each in workspace.accounts() if each.service == name]
        identities = {f"identity {each.identity}" for each in accounts}
        credentials = {f"credentials {each.credentials}" for each in accounts}
        former = {f"identity {each.former_identity}" for each in accounts if each.former}
        if identities <= created or credentials <= created or former & changed:
            found.append(name)
    return found


def next_steps(
    settings: "Settings",
    data: Mapping[str, Any],
    made: "Iterable[Change]",
    services: Sequence[str] = (),
    *,
    has_kit: bool = False,
) -> str:
    """Return the manual steps that remain after a run, as text to print; empty if there are none.

    Args:
        data: pyinfra's data of the host, with the connection.
        made: the changes of the run; the first login is a step only if it made the administrator.
        services: the services that the run has added or renamed.
        has_kit: whether a recovery kit was made; until then, the steps of a first deploy remain.
    """
    lines = [] if has_kit else _first_steps(settings, data, made)
    if services:
        lines += [
            f"Write .infisical.json for {join_first(services, 5)}, with the services' directory as "
            "REPO:",
            "  infisical-iac check REPO --fix",
        ]
    return "\nNext:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""


def _first_steps(
    settings: "Settings", data: Mapping[str, Any], made: "Iterable[Change]"
) -> list[str]:
    lines = []
    if any(each.kind == "+" and each.what.startswith(_FIRST_LOGIN) for each in made):
        address = settings.stack.site_url
        if address.startswith("http://"):
            address += f", through `{tunnel_command(data, settings.stack.http_port)}`"
        lines += [
            f"Log in at {address} as {settings.workspace.admin_email};",
            "  the password is in /etc/infisical/admin.env on the host.",
        ]
    lines += [
        "Check the host: infisical-iac verify",
        "Make a recovery kit: without it, the backups of a lost host can't be read:",
        "  infisical-iac recovery-kit --recipient age1… --output ../kit.txt",
    ]
    if all(each.kind.on_host for each in settings.backup.backup_targets):
        lines.append(
            "Add a place for backups on another machine, as all are on the host: "
            "infisical-iac init --backup ADDRESS"
        )
    return lines


def tunnel_command(data: Mapping[str, Any], port: int) -> str:
    """Return the command of an SSH tunnel to Infisical's port on the host with this data."""
    options = {
        "-F": data.get("ssh_config_file"),
        "-i": data.get("ssh_key"),
        "-p": data.get("ssh_port"),
    }
    if file := data.get("ssh_known_hosts_file"):
        options["-o"] = f"UserKnownHostsFile={file}"
    given = [word for name, value in options.items() if value for word in (name, str(value))]
    user = f"{data['ssh_user']}@" if data.get("ssh_user") else ""
    forwarding = ("-N", "-L", f"{port}:127.0.0.1:{port}")
    return shlex.join(("ssh", *forwarding, *given, f"{user}{data['ssh_hostname']}"))


def _summarize(steps: "list[DeployStep]", seconds: float, planned: "list[Change]") -> None:
    made = [change for step in steps for change in step.changes]
    if not made:
        echo(f"Nothing to change. {seconds:.1f} s.")
        return
    print_table(
        ("Step", "Changes", "Seconds"),
        ((step.name, len(step.changes), f"{step.seconds:.1f}") for step in steps),
        numbers=("Changes", "Seconds"),
    )
    print_notes(_compare_with_plan(made, planned))
    echo(f"{count(made)} made in {seconds:.1f} s.")


_DIFFERENCES = (
    ("not in the plan", "an installed package, or an earlier step, is the cause"),
    ("planned and no longer needed", "an earlier step is the cause"),
)


def _compare_with_plan(made: "list[Change]", planned: "list[Change]") -> Iterator[str]:
    """Yield notes on changes made but not planned, and on those planned but not made.

    A package's own files can't be planned, and a change may make a later one superfluous.
    """
    actual, desired = (Counter(each.what for each in changes) for changes in (made, planned))
    differing = (actual - desired, desired - actual)
    for (how, cause), names in zip(_DIFFERENCES, differing, strict=True):
        if names:
            verb = "was" if names.total() == 1 else "were"
            changes = pluralize(names.total(), "change")
            named = join_first(names.elements(), 3)
            yield f"{changes} {verb} {how} ({named}): {cause}, so there is nothing to do"


def run(deployment: "Deployment", remedy: str | None = None) -> "list[DeployStep]":
    """Run the steps, and print and return those that changed something.

    The operator's notes are printed if the run fails; else the caller prints them at its end.

    Args:
        remedy: what to do about a failed step; None for another run.

    Raises RunFailed as `Deployment.run` does.
    """
    to = console(stderr=True)
    steps = []
    try:
        with to.status("") as status:
            for step in deployment.run(lambda name: status.update(f"{name} …"), remedy):
                to.print(f"[green]✓[/] {step.name}: {count(step.changes)}, {step.seconds:.1f} s")
                steps.append(step)
    except BaseException:
        _print_operator_notes(deployment)
        raise
    return steps


def _print_operator_notes(deployment: "Deployment") -> None:
    """Print the sentences that no later command repeats, such as one with an invitation's link.

    If standard output and standard error go to one file, the sentences come last in it.
    """
    sys.stdout.flush()
    sentences = deployment.journal.operator_notes
    for sentence in [*sentences, *filter(None, [explain_links(sentences)])]:
        console(stderr=True).print(Text(sentence))


def run_or_roll_back(
    host: "Host",
    steps: Callable[[], object],
    back: Callable[[], str],
    *,
    name: str,
    what: str,
    remedy: str,
    question: str,
    done: str,
    yes: bool,
) -> None:
    """Show a plan, ask, and run it; roll back if it fails. Raises RunFailed after the rollback.

    Args:
        steps: calls the operations of the deploy.
        back: rolls back if necessary, and returns sentences on the present state.
        name: the name of the run, such as "restore".
        what: the object of the rollback, such as "The old data".
        remedy: what to do about a failed rollback, as the end of a sentence.
        question: asked before the run.
        done: the word for a successful run, such as "Restored".
        yes: whether to skip the question.
    """
    from infisical_iac.core.connection import LOST
    from infisical_iac.core.deployment import prepare

    def roll_back() -> str:
        try:
            return back()
        except (UserError, *LOST) as error:
            return f"{what} could not be brought back ({error}): {remedy}"

    deployment = prepare(host, steps)
    # A step may plan the same change as a later one.
    show(dict.fromkeys(deployment.journal.planned_changes), deployment.journal.unknown)
    confirm(question, yes=yes)
    started = time.monotonic()
    try:
        run(deployment, remedy=f"the {name} ends here")
    except RunFailed as error:
        raise RunFailed(f"{error}. {roll_back()}") from None
    except Exception:  # A defect must not prevent the rollback.
        echo(roll_back(), err=True)
        raise
    made = count(deployment.journal.made_changes)
    echo(f"{done}, with {made}, in {time.monotonic() - started:.1f} s.")
    _print_operator_notes(deployment)


_BACKUPS = "/var/backups/infisical-iac"
_GONE = (
    "Data, keys, certificates, credentials, the firewall and fail2ban's jails were deleted. "
    "Docker, its images, the audit log, the access log and the backups, which hold the keys, were "
    "kept."
)


@click.command()
@inventory_option
@lock_options
@click.option(
    "--volumes", is_flag=True, help="Also delete data, keys, credentials and the firewall."
)
@click.option("--confirm", metavar="HOST", help="Give the host's name instead of typing it.")
@click.option("--no-backup", is_flag=True, help="Destroy without taking a backup first.")
def destroy(
    inventory: str, lock: Lock, volumes: bool, confirm: str | None, no_backup: bool
) -> None:
    """Remove Infisical, PostgreSQL and Redis from the inventory's host, or from a cluster.

    First a backup of the database and the keys is made on the host. Without --volumes the data and
    the keys stay, and `apply` deploys Infisical with them again. The command asks for a name: the
    host's; for a server found at Hetzner Cloud, the server's; for a cluster, the setting
    server_name, or the inventory's name if its hosts are named by hand.

    Exit status: 0 when nothing is left to remove; 1 for an error, with the reason, or if you
    type another name.
    """
    from infisical_iac.core import audit, transaction
    from infisical_iac.core.connection import each_of, with_others
    from infisical_iac.core.inventory import connect

    # An earlier run may have been interrupted after hosts left the swarm, without a quorum now.
    with connect(inventory, quorum=not volumes) as host:
        lock(host)
        target = _removal(host, inventory)
        there = target.list_deployed()
        if not there:
            echo(f"Nothing of Infisical is on {target.name}.")
            return
        if not volumes and "container " not in there:
            echo(f"No containers are on {target.name}; --volumes deletes data and keys.")
            return
        each_of(with_others(host), lambda _: transaction.refuse_under_way())
        _confirm_removal(target, confirm, volumes=volumes)
        changes: list[str] = []
        with audit.record("destroy", changes):
            if not no_backup:
                changes.append(f"+ {_back_up(target)}")
            target.remove(volumes=volumes)
            changes += ["- stack", *(["- volumes, keys and credentials"] if volumes else [])]
    echo(f"Infisical is no longer on {target.name}. {_GONE if volumes else target.kept}")


def _removal(host: "Host", inventory: str) -> "HostRemoval":
    from infisical_iac.core.topology import SINGLE, hook
    from infisical_iac.stack.deploy import HostRemoval

    topology = str(host.data.get("topology") or SINGLE)
    return hook(HostRemoval, topology).of(host, inventory)


def _confirm_removal(target: "HostRemoval", given: str | None, *, volumes: bool) -> None:
    at = f" from {target.name} at {target.address}" if target.address else ""
    what = f"Infisical with all its data{at}" if volumes else f"Infisical{at}, but not its data"
    confirm_name(f"This removes {what}.", target.called, target.name, given)


def _back_up(target: "HostRemoval") -> str:
    directory = f"{_BACKUPS}/{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    try:
        on = target.back_up(directory)
    except UserError as error:
        raise Refused(
            f"{error}; nothing was removed (if an earlier backup in {_BACKUPS} is enough, skip "
            "this one by --no-backup)"
        ) from None
    echo(f"A backup is in {directory} on {on}: copy it to a safe place.")
    return directory
