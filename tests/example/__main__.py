"""`python -m tests.example --host NAME`: start and try the services of the example."""

import argparse
import sys

from tests.example.world import World, world
from tests.staging.host import StagingHost
from tests.staging.shell import StagingError


def main() -> int:
    """Start both services and report each step; return 0 if all steps succeeded."""
    parser = argparse.ArgumentParser(prog="python -m tests.example", description=__doc__)
    parser.add_argument("--host", default="demo", help="the staging host (default: demo)")
    try:
        with world(StagingHost(parser.parse_args().host)) as made:
            _start(made)
            _rotate(made)
            _outage(made)
    except (StagingError, AssertionError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _start(made: World) -> None:
    for service in (made.backend, made.forecasts):
        _must(service.start() is None, service.output)
        print(f"  {service.directory.name} runs with its credentials, on port {service.port}")
    token = made.join("Ada")
    print('  backend          mutation { join(name: "Ada") }  signed a token, stored the member')
    _print_forecast(made, token)


def _rotate(made: World) -> None:
    old = made.join("Ada")
    made.sign_tokens_with("fake-second-jwt-secret")
    print("  JWT_SECRET was changed in Infisical, both services are started again")
    for service in (made.backend, made.forecasts):
        _must(service.restart() is None, service.output)
    _print_forecast(made, old, expected=401)
    _print_forecast(made, made.join("Ada"))


def _outage(made: World) -> None:
    with made.infisical.stop_temporarily():
        print("  Infisical is stopped: running services continue; both are started again")
        _print_forecast(made, made.join("Ada"))
        status = made.backend.restart()
        _must(status is not None, made.backend.output)
        output = f"exit status {status}, as it should: {_last(made.backend.output)}"
        print(f"  backend          (without a cache) {output}")
        _must(made.forecasts.restart() is None, made.forecasts.output)
        print(f"  python-services  (with one) {made.forecasts.output.splitlines()[0]}")
    print("  Infisical runs again")


def _print_forecast(made: World, token: str, expected: int = 200) -> None:
    """Ask for a forecast, and print the answer. Raises AssertionError if it is not the expected."""
    answer = made.forecasts.get("/forecast", token)
    why = ", as it should: the token has the old signature" if expected != 200 else ""
    print(f"  python-services  GET /forecast  {answer.status_code} {answer.text}{why}")
    _must(answer.status_code == expected, made.forecasts.output)


def _last(text: str) -> str:
    return text.splitlines()[-1]


def _must(condition: bool, output: str) -> None:
    if not condition:
        raise AssertionError(output[-2000:])


if __name__ == "__main__":
    sys.exit(main())
