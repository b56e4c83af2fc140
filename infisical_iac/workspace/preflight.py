"""Check settings, project file and host before anything is changed."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.core import journal, lock
from infisical_iac.core.agent import inspect
from infisical_iac.core.connection import without_delay
from infisical_iac.core.errors import Refused, SettingsError, UserError
from infisical_iac.core.operation import Refusal
from infisical_iac.core.own_repository import describe_copied_defaults
from infisical_iac.core.rendering import describe_overrides
from infisical_iac.core.settings import Settings, load
from infisical_iac.core.wording import join_names
from infisical_iac.host import docker
from infisical_iac.host.docker import Engine
from infisical_iac.host.machine import HostAddresses, deployed_question, read_machine
from infisical_iac.host.model import SYSTEMS, MachineState
from infisical_iac.host.openings import direct_names, refuse_unenforced, refuse_unreached
from infisical_iac.host.shared import describe_left, not_ours, resolve_auto
from infisical_iac.host.site import Known, Site, observe_site
from infisical_iac.instance import authorities
from infisical_iac.instance.login import describe_new_callbacks
from infisical_iac.workspace.load import load_declared
from infisical_iac.workspace.model import Workspace


@dataclass(frozen=True)
class Preflight(Known):
    """The results of the checks: the state of the host, and the checked project file.

    `admin_password` is the one that the user gave for the first administrator, or None.
    """

    workspace: Workspace
    admin_password: str | None


def preflight(
    *,
    restoring: bool = False,
    scaling: bool = False,
    leaving: bool = False,
    check: Callable[[Site], None] | None = None,
) -> Preflight:
    """Check the settings, the project file, the environment and the host, and lock it.

    Args:
        restoring: whether this is a restore: only a restore may run while one is unfinished.
        scaling: whether this is a scale-out or scale-in: only that may run while one is unfinished.
        leaving: whether Infisical leaves the topology, which is then not validated.
        check: for a migration between topologies, as `Site.observe` takes it.

    Raises Refusal, one sentence, with nothing changed.
    """
    try:
        data: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
        settings = load(data)
        workspace = load_declared(settings.workspace)
        without_delay(host)
        lock.refuse_unadopted(host)
        machine = read_machine()
        machine.refuse_changing()
        left = describe_left(settings, machine)
        settings = resolve_auto(settings, machine)
        password = admin_password(
            os.environ.get("INFISICAL_ADMIN_PASSWORD"), is_new=not machine.deployed
        )
        refuse(machine, minimum_free_disk_gb=settings.host.minimum_free_disk_gb)
        site = observe_site(settings, machine, check)
        run = journal.current()
        # On a new host all other steps depend on the blocked part, so the run ends.
        run.goes_on = site.has_begun(machine) and not (restoring or scaling or leaving)
        if not leaving:
            refuse_unfit(site)
        refuse_ingress(settings, machine)
        authorities.read_authorities(settings)
        refuse_unenforced(settings)
        look_up_names(settings)
        if not_ours(settings, machine):
            version, compose = host.get_fact(Engine)
            machine = replace(machine, engine=version, compose=compose)
            try:
                docker.refuse(settings, machine)
            except Refused as error:
                _block_or_raise(error)
        leads = site.leads
        if machine.restoring and not restoring and leads:
            raise Refused(
                f"a restore, {machine.restoring.split()[0]}, has not ended on the host: "
                "`infisical-iac restore --undo` brings the old data back; a new `infisical-iac "
                "restore` begins with that"
            )
        if not scaling and leads:
            refuse_unfinished_scaling(machine, topology=settings.cluster.topology)
        if leads:
            refuse_unfinished_changes(machine, restoring=restoring, scaling=scaling)
        if not restoring and leads:
            report_undone_restore(machine)
        if left:
            report([left])
        if leads:
            report_own_files()
            report_callbacks(settings)
        refuse_missing(settings.stack.image_archives if not machine.deployed else ())
        lock.take(host)
    except UserError as error:
        raise Refusal(str(error), error.code) from None
    return Preflight(settings, machine, site, workspace, password)


def read_local_files(settings: Settings) -> None:
    """Read the project file and the authorities of `extra_ca`: a check before any connection.

    Raises FileError or SettingsError for a mistake in one of them.
    """
    load_declared(settings.workspace)
    authorities.read_authorities(settings)


def look_up_names(settings: Settings) -> None:
    """Raise SettingsError if the firewall would block a server that the settings name.

    The host resolves the names, as its name server may know private ones.
    """
    if names := direct_names(settings):
        addresses = host.get_fact(HostAddresses, names=[*names])
        refuse_unreached(settings, addresses)


def report_undone_restore(machine: MachineState) -> None:
    """Report a restore that failed on this host and left no instance, in the plan or the log."""
    if not machine.undone:
        return
    report(
        [
            f"a restore, {machine.undone}, failed on this host or was undone, and this run creates "
            "a new, empty instance: for the data of a backup, run `infisical-iac restore` instead"
        ]
    )


def report_own_files() -> None:
    """Report files of the user's repository that this version concerns, in the plan or the log."""
    report([*describe_copied_defaults(), *describe_overrides()])


def report_callbacks(settings: Settings) -> None:
    """Report the callbacks to enter at providers of logins, in the plan or the log."""
    login, url = settings.instance.login, settings.stack.site_url
    if login.clients:
        report(describe_new_callbacks(login, url, inspect(deployed_question()).variables))


def report(sentences: Iterable[str]) -> None:
    """Add sentences to the notes of a plan, or log them if pyinfra's own command runs."""
    run = journal.current()
    for each in sentences:
        if run.is_read:
            run.notes.append(each)
        else:
            logger.warning(f"{host.print_prefix}{each}")


def refuse_ingress(settings: Settings, machine: MachineState) -> None:
    """Raise SettingsError for settings of an ingress that can't work.

    If the reason is the state of the host, the ingress is blocked; on a new host, this raises
    Refused.
    """
    try:
        settings.stack.ingress_kind.refuse(settings, machine)
    except Refused as error:
        _block_or_raise(error)
        if error.part != "Ingress":
            return
        if settings.cluster.topology == "swarm" or machine.upgrading or machine.rotating:
            # A roll-out and the end of an interrupted change wait for all services.
            journal.current().block("Stack", str(error))
        else:
            journal.current().without = frozenset({"caddy"})


def refuse_unfit(site: Site) -> None:
    """Raise Refused if the hosts can't fulfill the settings.

    If Infisical already runs on them, only the affected part of the deploy is blocked.
    """
    try:
        site.refuse_unfit()
    except Refused as error:
        _block_or_raise(error)


def _block_or_raise(error: Refused) -> None:
    """Block the error's part of the deploy if the run goes on without it; else raise the error."""
    if not error.part or not journal.current().goes_on:
        raise error
    journal.current().block(error.part, str(error))


def admin_password(given: str | None, *, is_new: bool) -> str | None:
    """Return the password as given, or None.

    A password of an existing administrator that would be altered is returned as None, as most runs
    need none. Raises SettingsError for a new password that is weak or would be altered.
    """
    if given is None or not is_new:
        return given if given and _fits(given) else None
    if given != given.strip():
        raise SettingsError(
            "INFISICAL_ADMIN_PASSWORD begins or ends with blanks, which Infisical would cut off: "
            "remove them",
            code="settings.password_ends",
        )
    if not _fits(given):
        raise SettingsError(
            "INFISICAL_ADMIN_PASSWORD has a blank, quote, backslash, dollar sign, backquote or a "
            "letter outside ASCII, which some shells change: leave them out",
            code="settings.password_characters",
        )
    if len(given) < 20 or len(set(given)) < 8:
        raise SettingsError(
            "INFISICAL_ADMIN_PASSWORD is weak: give at least 20 characters, 8 of them different, "
            "or leave it unset and one is made on the host",
            code="settings.weak_password",
        )
    return given


def _fits(password: str) -> bool:
    """Return whether a password passes unaltered through all shells and files."""
    return bool(re.fullmatch(r"[!#%&()*+,./:;<=>?@\[\]^_{|}~A-Za-z0-9-]*", password))


def refuse_missing(archives: Iterable[str]) -> None:
    """Raise SettingsError if an image archive is not on this machine."""
    for archive in archives:
        if not Path(archive).is_file():
            raise SettingsError(
                f"setting 'image_archives': {archive} does not exist on this machine: make it "
                "with `docker save`, or remove it from the setting"
            )


def refuse_unfinished_changes(machine: MachineState, *, restoring: bool, scaling: bool) -> None:
    """Raise Refused if a restore or migration would meet a change of the same data or keys."""
    if machine.upgrading and (restoring or scaling):
        raise Refused(
            f"a change of version, {machine.upgrading.split()[0]}, has not ended on the host: "
            "`infisical-iac apply` ends it"
        )
    if machine.rotating and restoring:
        raise Refused(
            f"a rotation of a key, {machine.rotating.split()[0]}, has not ended on the host: "
            "`infisical-iac apply` ends it"
        )


def refuse_unfinished_scaling(machine: MachineState, *, topology: str) -> None:
    """Raise Refused during an unfinished scale-out or scale-in."""
    if machine.scaling:
        _, direction, phase = machine.scaling.split()
        command = f"infisical-iac scale-{direction}"
        if phase == "proven":
            raise Refused(
                f"a scale-{direction} has not ended on the host: `{command}` removes the old "
                "cluster",
                code="refused.scaling_proven",
            )
        if phase == "switched":
            raise Refused(
                f"a scale-{direction} has not ended on the host: `{command}` completes it, and "
                "with --undo goes back to the data from before",
                code="refused.scaling_switched",
            )
        raise Refused(
            f"a scale-{direction} has not ended on the host: `{command} --undo` brings back what "
            f"served before; a new `{command}` begins with that",
            code="refused.scaling",
        )
    if machine.clustered and topology == "single":
        raise Refused(
            "the host belongs to a cluster, but is a single host in this inventory: name the "
            "inventory of the whole cluster; with it, `infisical-iac scale-in` brings Infisical "
            "back to one host, and `infisical-iac scale-out --undo` undoes a scale-out that failed "
            "early",
            code="refused.clustered",
        )


def refuse(machine: MachineState, *, minimum_free_disk_gb: float) -> None:
    """Raise Refused if the host's system or state does not allow a deploy."""
    if machine.system is None:
        names = join_names((each.name for each in SYSTEMS.values()), "or")
        raise Refused(
            f"the host runs {machine.os or 'an unknown system'} {machine.release}: use {names}",
            code="refused.system",
        )
    if not machine.root:
        raise Refused(
            "the host's user is not root: set INFISICAL_SSH_USER to root or to a user "
            "that may use sudo without a password",
            code="refused.not_root",
        )
    if not machine.systemd:
        raise Refused(
            "the host does not run systemd, which starts Docker: use a full system",
            code="refused.no_systemd",
        )
    if not machine.deployed and machine.free_disk_gb < minimum_free_disk_gb:
        raise Refused(
            f"the host's disk has {machine.free_disk_gb:.1f} GB free of the "
            f"{minimum_free_disk_gb:g} GB that setting 'minimum_free_disk_gb' asks for: "
            "make room or use a larger disk",
            code="refused.disk",
        )
