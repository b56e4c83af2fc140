"""The host's small files, the modes of some that are others', and the units that read them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

from pyinfra.context import host

from infisical_iac.core import files, journal
from infisical_iac.core import units as systemd
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, shared, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.host.hardening import loose
from infisical_iac.host.hardening_fact import Hardening


@telling_operation
def hardened(
    configuration: Sequence[File],
    *,
    units: Mapping[str, Sequence[str]],
    rules: str,
    look: Mapping[str, object],
) -> Commands:
    """Have the files of `configuration`, and nothing of others' more open than it should be.

    Args:
        units: those that read some of the files, which they must have done.
        rules: the path of auditd's rules, which the kernel takes without a restart; or empty.
        look: the arguments of the fact `Hardening`.
    """
    there = shared(Hardening, **look)
    wrong = files.differing(configuration, there.files)
    open_ = loose(there.files)
    written = {file.path for file in wrong}
    # A unit is to read what is about to be written, too.
    states = {
        unit: replace(state, configured=inf) if written & {*units.get(unit, ())} else state
        for unit, state in there.units.items()
    }
    commands = [
        *files.written(wrong, there.files),
        *systemd.brought_up([*units], states),
    ]
    for path, mode in open_.items():
        journal.item("~", path, f"mode {there.files[path].mode} → {mode}")
        command = f"chmod {mode} {shlex.quote(path)}"
        commands.append(step(run, command, doing=f"tighten {path}"))
    if any(file.path == rules for file in wrong):
        commands.append(step(run, "augenrules --load", doing="load the rules of auditd"))
    if not commands:
        host.noop("the host is hardened")
    yield from commands
