"""Cases of the operations of core: files, packages, units and the end of a run."""

from dataclasses import replace

from infisical_iac.agent.files import PathState
from infisical_iac.agent.system import UnitState
from infisical_iac.core import apt, files, operation, units
from infisical_iac.core.files import File
from tests.unit.operations.cases import Cases, due, noop

_FILE = File("/etc/some.conf", "text\n")
_RUNS = UnitState(loaded=True, active=True, enabled=True)
_NAMES = ("curl", "jq")

OPERATIONS = {
    "core.files.contents": Cases(
        noop(
            lambda: files.decide([_FILE], {"/etc/some.conf": _FILE.state}),
            "/etc/some.conf as desired",
        ),
        due(
            lambda: files.decide([_FILE], {"/etc/some.conf": replace(_FILE.state, mode="666")}),
            "~ /etc/some.conf: mode 666 → 644",
            steps=("write",),
        ),
        due(lambda: files.decide([_FILE], {}), "+ /etc/some.conf", steps=("write",)),
        # Only a regular file has text to compare.
        due(
            lambda: files.decide(
                [_FILE], {"/etc/some.conf": PathState("directory", "755", "root:root")}
            ),
            "~ /etc/some.conf: kind directory → regular file, mode 755 → 644",
            steps=("write",),
        ),
    ),
    "core.apt.packages": Cases(
        noop(
            lambda: apt.decide(_NAMES, {"curl", "jq"}, timeout=9),
            "packages curl, jq are installed",
        ),
        due(
            lambda: apt.decide(_NAMES, {"curl"}, timeout=9),
            "+ package jq",
            steps=("install jq",),
        ),
        due(
            lambda: apt.decide(_NAMES, (), timeout=9),
            "+ package curl",
            "+ package jq",
            steps=("install curl, jq",),
        ),
        "a package that dpkg does not know counts as missing, and apt then reports the error",
    ),
    "core.units.running": Cases(
        noop(
            lambda: units.decide(["a.service"], {"a.service": _RUNS}),
            "a.service enabled and running",
        ),
        due(
            lambda: units.decide(["a.service"], {"a.service": _RUNS}, changing=["a.service"]),
            "~ a.service: restarted, with its configuration",
            steps=("systemctl",),
        ),
        due(
            lambda: units.decide(["a.service"], {}),
            "~ a.service: enabled and started",
            steps=("systemctl", "systemctl"),
        ),
        # systemd skips the unit by its own condition, so its state means nothing.
        noop(
            lambda: units.decide(
                ["a.service"], {"a.service": replace(_RUNS, active=False, condition=False)}
            ),
            "a.service enabled and running",
        ),
    ),
    "core.operation.closing_entry": Cases(
        noop(
            lambda: operation.decide_end("", has_changes=False, is_read=False),
            "the run has changed nothing",
        ),
        due(lambda: operation.decide_end("", has_changes=True, is_read=False), steps=("end",)),
        "each run has a journal",
        due(
            lambda: operation.decide_end("! Docker: blocked", has_changes=False, is_read=False),
            steps=("_fail",),
        ),
    ),
}
