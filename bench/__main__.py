"""The command line: `python -m bench` measures everything and writes bench/RESULTS.md.

`python -m bench --short` measures a converged run only, in three rounds, and writes no file. It
fails if the playbook or a plan finds something to change, or a run needs too many remote commands,
and never because of a time. With `--host`, it measures a staging host that is deployed already.
"""

import argparse
import sys

from bench import against_ansible, converged_run, fresh_deploy, history_search, migrate, starts
from bench.bars import Measured, Timings, pairs
from bench.machine import machine
from bench.measuring import HOST, in_turn, say
from bench.report import render, render_short
from bench.results import report_errors, write_results
from tests.staging import engine, stack
from tests.staging.host import StagingHost

_FRESH_ROUNDS = 3
_CONVERGED_ROUNDS = 7
_SHORT_ROUNDS = 3
_MIGRATION_ROUNDS = 3
_START_ROUNDS = 15
_INSTALL_ROUNDS = 9


def main() -> int:
    """Run the benchmark; return 0 once it is complete, 1 on an error."""
    parser = argparse.ArgumentParser(prog="python -m bench", allow_abbrev=False)
    parser.add_argument("--short", action="store_true", help="measure a converged run only")
    parser.add_argument("--host", help="with --short: a staging host that is deployed already")
    given = parser.parse_args()
    if given.host and not given.short:
        parser.error("--host needs --short")
    if given.short:
        return report_errors(lambda: _print_short(given.host))
    return write_results("RESULTS.md", lambda: render(_measure()))


def _print_short(host: str | None) -> None:
    engine.ensure()
    if host:
        print(_measure_short(host))
        return
    stack.ensure()
    try:
        fresh_deploy.deploy_fresh()
        print(_measure_short(HOST))
    finally:
        StagingHost(HOST).down()


def _measure_short(host: str) -> str:
    """Measure a converged run on a deployed host, and return the figures as text."""
    against_ansible.install()
    counts, converged = _measure_converged(_SHORT_ROUNDS, host)
    converged_run.refuse_many_commands(counts)
    return render_short(converged, counts)


def _measure_converged(rounds: int, host: str = HOST) -> tuple[dict[str, int], Timings]:
    """Return the number of remote commands, and the seconds of converged runs, by name."""
    say("Counting the commands of a converged run, and checking that the playbook changes nothing")
    counts = converged_run.remote_commands(host)
    converged_run.refuse_changes(host)
    against_ansible.refuse_changes(host)
    commands = {**converged_run.commands(), against_ansible.ANSIBLE: against_ansible.command()}
    return counts, in_turn(commands, rounds, host)


def _measure() -> Measured:
    stack.ensure()
    against_ansible.install()
    known = machine(**{"ansible-core": against_ansible.version()})
    fresh = fresh_deploy.on_fresh_hosts(_FRESH_ROUNDS)
    counts, converged = _measure_converged(_CONVERGED_ROUNDS)
    migration = migrate.measure(_MIGRATION_ROUNDS)
    started = starts.measure(_START_ROUNDS)
    return Measured(
        converged=converged,
        fresh=fresh,
        limited=(converged_run.APPLY, converged_run.PYINFRA),
        commands=counts,
        migration=migration.timings,
        writes=migration.writes,
        on_standin=migration.on_standin,
        starts=started.timings,
        imports={name: started.imports[name] for (name, _), _ in pairs(started.timings)},
        installs=starts.measure_installs(_INSTALL_ROUNDS),
        search=history_search.measure(),
        machine=known,
    )


if __name__ == "__main__":
    sys.exit(main())
