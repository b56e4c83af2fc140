"""The command line: `python -m bench` measures everything and writes bench/RESULTS.md."""

import sys

from bench import against_ansible, fresh_deploy, history_search, migrate, settled_run, starts
from bench.bars import Measured, pairs
from bench.machine import machine
from bench.measuring import in_turn, say
from bench.report import render
from bench.results import write_results
from tests.staging import stack

_FRESH_ROUNDS = 3
_SETTLED_ROUNDS = 7
_MIGRATION_ROUNDS = 3
_START_ROUNDS = 15


def main() -> int:
    """Run the benchmark; return 0 once RESULTS.md is written, 1 on an error."""
    return write_results("RESULTS.md", lambda: render(_measure()))


def _measure() -> Measured:
    stack.ensure()
    against_ansible.install()
    known = machine(**{"ansible-core": against_ansible.version()})
    fresh = fresh_deploy.on_fresh_hosts(_FRESH_ROUNDS)
    say("Counting the commands of a converged run, and checking that the playbook changes nothing")
    counts = settled_run.remote_commands()
    against_ansible.refuse_changes()
    commands = {**settled_run.commands(), against_ansible.ANSIBLE: against_ansible.command()}
    settled = in_turn(commands, _SETTLED_ROUNDS)
    migration = migrate.measure(_MIGRATION_ROUNDS)
    started = starts.measure(_START_ROUNDS)
    return Measured(
        settled=settled,
        fresh=fresh,
        limited=(settled_run.APPLY, settled_run.PYINFRA),
        commands=counts,
        migration=migration.timings,
        writes=migration.writes,
        on_standin=migration.on_standin,
        starts=started.timings,
        imports={name: started.imports[name] for (name, _), _ in pairs(started.timings)},
        search=history_search.measure(),
        machine=known,
    )


if __name__ == "__main__":
    sys.exit(main())
