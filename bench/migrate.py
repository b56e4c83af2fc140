"""Time a migration against single writes by the Python SDK: `python -m bench.migrate`.

Both write 1,000 secrets of 20 files into two environments of one server, in turn, each into its
own project. The migration is the whole command: it reads plan and files, compares, writes, reads
back twice and reports. The SDK is given the values and only writes them. Both are timed from the
login on, after all imports.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from infisical_sdk import InfisicalSDKClient  # type: ignore[import-untyped]

from bench.bars import FEWEST_TIMES, MOST_WRITES, times
from bench.measuring import BenchError, Timings, say
from tests.contract.migrating import ENVIRONMENTS, Case, Ran, new
from tests.contract.unreliable import UnreliableProxy
from tests.contract.world import World
from tests.staging import engine, server

APPLY, SDK = "infisical-iac migrate apply", "the Python SDK, one by one"

_SERVICES = [f"service-{number}" for number in range(10)]
_KEYS = 50
_FILES = {"development": ".env.development", "production": ".env.production"}


class Migration(NamedTuple):
    """The measurements of migrations.

    Attributes:
        timings: seconds in the order of the rounds, by name, the SDK's last.
        writes: the write requests of the migration.
        on_standin: whether the server was the stand-in.
    """

    timings: Timings
    writes: int
    on_standin: bool


def main() -> int:
    """Measure one round and print; return 0 if both limits are kept, 1 if not."""
    engine.ensure()
    measured = measure(rounds=1)
    faster = times(measured.timings[APPLY], measured.timings[SDK])
    where = "the stand-in" if measured.on_standin else "a real Infisical"
    print(f"on {where}: {faster:.1f} times faster, {measured.writes} write requests")
    for name, rounds in measured.timings.items():
        print(f"  {name:28} {' '.join(f'{each:.2f}' for each in rounds)} s")
    print(f"at least {FEWEST_TIMES} times and at most {MOST_WRITES} write requests is the limit")
    return 0 if faster >= FEWEST_TIMES and measured.writes <= MOST_WRITES else 1


def measure(rounds: int) -> Migration:
    """Time migration and SDK in turn on their own server. Raises BenchError if one fails."""
    timings: Timings = {APPLY: [], SDK: []}
    with server.running() as running:
        world = running.world()
        say("Migrations: counting write requests")
        writes = _writes(world)
        for number in range(rounds):
            say(f"Migrations, round {number + 1} of {rounds}")
            timings[APPLY].append(_migrate(world))
            timings[SDK].append(_time_single_writes(world))
    return Migration(timings, writes, running.is_standin)


def _writes(world: World) -> int:
    with UnreliableProxy(world.standin.url) as proxy:
        _migrate(world, proxy.url)
        return proxy.count("write")


def _migrate(world: World, url: str = "") -> float:
    with tempfile.TemporaryDirectory() as directory:
        case = _tree(world, Path(directory))
        _check_status(case.run("plan"), 2)
        begin = time.perf_counter()
        _check_status(case.run("apply", url=url), 0)
        return time.perf_counter() - begin


def _time_single_writes(world: World) -> float:
    with tempfile.TemporaryDirectory() as directory:
        case = _tree(world, Path(directory))
        begin = time.perf_counter()
        _write_singly(case)
        return time.perf_counter() - begin


def _tree(world: World, root: Path) -> Case:
    case = new(world, root, *_SERVICES)
    for service in _SERVICES:
        case.write(f"{service}/package.json", '{"dependencies": {"dotenv": "^17.0.0"}}')
        for environment, name in _FILES.items():
            lines = (f"{key}={value}\n" for key, value in _values(service, environment).items())
            case.write(f"{service}/{name}", "".join(lines))
    return case


def _values(service: str, environment: str) -> Mapping[str, str]:
    numbers = range(_KEYS)
    return {f"FAKE_{number}": f"fake-{service}-{environment}-{number:032}" for number in numbers}


def _write_singly(case: Case) -> None:
    identity = case.world.deployer_identity
    client: Any = InfisicalSDKClient(host=case.world.standin.url, cache_ttl=None)
    client.auth.universal_auth.login(
        client_id=identity.client_id, client_secret=identity.client_secret
    )
    project = case.place("production", "/")["projectId"]
    for service in _SERVICES:
        for environment in ENVIRONMENTS:
            for key, value in _values(service, environment).items():
                client.secrets.create_secret_by_name(
                    secret_name=key,
                    secret_path=f"/{service}",
                    environment_slug=environment,
                    project_id=project,
                    secret_value=value,
                )


def _check_status(ran: Ran, status: int) -> None:
    if ran.exit_code != status:
        raise BenchError(f"a migration ended with {ran.exit_code}: {ran.output[-400:]}")


if __name__ == "__main__":
    sys.exit(main())
