"""`python -m bench.migrate`: a migration against the Python SDK that writes one by one.

Both write 1,000 secrets of 20 files into two environments of the same server, in turn and each
into a project of its own. The migration is the whole command: it reads plan and files, compares,
writes, reads back twice and reports. The SDK is given the values and only writes them. Both are
timed with everything imported, from the login on.

The server is a stand-in on this machine, first as it is, and then no quicker with writes than a
real one was measured to be: 41 s for 1,000 single ones, 0.4 s for one of 1,000. What is printed
of the second is what the bar is for.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx
from infisical_sdk import InfisicalSDKClient  # type: ignore[import-untyped]

from bench.measuring import BenchError, say
from tests.contract.migrating import ENVIRONMENTS, Case, Ran, new
from tests.contract.postgres import Postgres
from tests.contract.services import RedisServer, Standin
from tests.contract.unreliable import UnreliableProxy
from tests.contract.world import World, set_up

FEWEST_TIMES = 20
MOST_WRITES = 20

_ROUNDS = 2
_SECONDS_A_WRITE = 0.0406
_SECONDS_A_SECRET = 0.00036
_SERVICES = [f"service-{number}" for number in range(10)]
_KEYS = 50
_FILES = {"development": ".env.development", "production": ".env.production"}


class Measured(NamedTuple):
    """Seconds in the order of the rounds, and the write requests of a migration."""

    migration: Sequence[float]
    sdk: Sequence[float]
    writes: int

    @property
    def times(self) -> float:
        """How many times faster the migration is: the median of the rounds' own ratios."""
        return median(sdk / own for own, sdk in zip(self.migration, self.sdk, strict=True))


def main() -> int:
    """Measure and print; 0 if both bars are met, 1 if not."""
    with _world() as world, UnreliableProxy(world.standin.url) as proxy:
        say("On the stand-in as it is")
        _show("as it is", measure(world, proxy, rounds=1))
        say("On one that writes no quicker than a real server")
        proxy.upstream.event_hooks = {"request": [_begun], "response": [_pace]}
        measured = measure(world, proxy, _ROUNDS)
    _show("as slow as a real server", measured)
    print(f"at least {FEWEST_TIMES} times and at most {MOST_WRITES} write requests are wanted")
    return 0 if measured.times >= FEWEST_TIMES and measured.writes <= MOST_WRITES else 1


def measure(world: World, proxy: UnreliableProxy, rounds: int) -> Measured:
    """Time both in turn, through a proxy. Raises BenchError if one of them fails."""
    migration, sdk = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            case = _tree(world, Path(directory))
            _succeeded(case.run("plan"), 2)
            proxy.expect(None)
            begin = time.perf_counter()
            _succeeded(case.run("apply", url=proxy.url), 0)
            migration.append(time.perf_counter() - begin)
            writes = proxy.count("write")
        with tempfile.TemporaryDirectory() as directory:
            case = _tree(world, Path(directory))
            begin = time.perf_counter()
            _write_one_by_one(case, proxy.url)
            sdk.append(time.perf_counter() - begin)
    return Measured(migration, sdk, writes)


def _show(title: str, measured: Measured) -> None:
    print(f"{title}: {measured.times:.1f} times faster, {measured.writes} write requests")
    for name, seconds in (("migrate apply", measured.migration), ("Python SDK", measured.sdk)):
        rounds = " ".join(f"{each:.2f}" for each in seconds)
        print(f"  {name:14} {median(seconds):6.2f} s   ({rounds})")


def _begun(request: httpx.Request) -> None:
    request.extensions["began"] = time.perf_counter()


def _pace(response: httpx.Response) -> None:
    request = response.request
    if request.method != "GET" and "/secrets/" in request.url.path:
        secrets = max(1, request.content.count(b'"secretKey"'))
        taken = time.perf_counter() - request.extensions["began"]
        time.sleep(max(0.0, _SECONDS_A_WRITE + secrets * _SECONDS_A_SECRET - taken))


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


def _write_one_by_one(case: Case, url: str) -> None:
    identity = case.world.deployer_identity
    client: Any = InfisicalSDKClient(host=url, cache_ttl=None)
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


def _succeeded(ran: Ran, status: int) -> None:
    if ran.exit_code != status:
        raise BenchError(f"a migration ended with {ran.exit_code}: {ran.shown[-400:]}")


@contextmanager
def _world() -> Iterator[World]:
    postgres, redis = Postgres(), RedisServer()
    try:
        standin = Standin(postgres.create_database("bench"), redis.url)
        try:
            yield set_up(standin.wait())
        finally:
            standin.close()
    finally:
        redis.stop()
        postgres.close()


if __name__ == "__main__":
    sys.exit(main())
