"""The command line: `python -m bench` measures all and writes bench/RESULTS.md."""

import sys

from bench import against_ansible, fresh_deploy, history_search, migrate, settled_run, starts
from bench.bars import Measured, pairs
from bench.machine import machine
from bench.measuring import in_turn, say
from bench.report import render
from bench.results import written
from tests.staging import stack

_FRESH_ROUNDS = 3
_SETTLED_ROUNDS = 7
_MIGRATION_ROUNDS = 3
_START_ROUNDS = 15


def main() -> int:
    """Run the benchmark; 0 when the results are written, whatever they are, 1 on an error."""
    return written("RESULTS.md", lambda: render(_measured()))


def _measured() -> Measured:
    stack.ensure()
    against_ansible.have_ansible()
    known = machine(**{"ansible-core": against_ansible.version()})
    fresh = fresh_deploy.on_fresh_hosts(_FRESH_ROUNDS)
    say("The settled run: counting commands, and making sure that nobody finds a change")
    counts = settled_run.remote_commands()
    against_ansible.refuse_changes()
    commands = {**settled_run.commands(), against_ansible.ANSIBLE: against_ansible.command()}
    settled = in_turn(commands, _SETTLED_ROUNDS)
    migration = migrate.measure(_MIGRATION_ROUNDS)
    started = starts.measure(_START_ROUNDS)
    return Measured(
        settled=settled,
        fresh=fresh,
        held_to=(settled_run.APPLY, settled_run.PYINFRA),
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
