"""Measure a large project: `python -m bench.scale`, with 100 services in three environments.

Each isolation is measured on a server made for it, which may be a real one
(STAGING_INFISICAL_IMAGE): the first apply, the plan of a converged server, and a service's start
with each loader. `--picture` has Chromium sign in as the administrator, list the projects and open
one.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from playwright.sync_api import sync_playwright

from bench.measuring import BenchError, say
from bench.results import report_errors
from bench.starts import LOADERS, start
from infisical_iac.agent.identities import create_client_secret
from infisical_iac.workspace import local_file
from infisical_iac.workspace.memory import locate
from infisical_iac.workspace.model import Isolation
from tests.browser.visit import PROGRAM
from tests.contract.projects import Projects, on
from tests.contract.world import EMAIL, PASSWORD, World
from tests.staging import engine, server, stack

_SERVICES = 100
_ENVIRONMENTS = ("development", "staging", "production")
_ISOLATIONS: tuple[Isolation, ...] = ("privilege", "projects")
_SHARED = "/shared"
_PLANS = 3
_STARTS = 9
_PAGE_SECONDS = 60


class Scale(NamedTuple):
    """The seconds of one isolation, and the number of changes of its first apply."""

    changes: int
    projects: int
    apply: float
    plan: float
    starts: dict[str, float]


def main() -> int:
    """Measure each isolation, and print a line for each; return 1 on an error."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", allow_abbrev=False)
    parser.add_argument("--services", type=int, default=_SERVICES)
    parser.add_argument("--isolation", choices=_ISOLATIONS, action="append")
    parser.add_argument("--picture", type=Path, help="a PNG file, of the last isolation")
    given = parser.parse_args()
    return report_errors(lambda: _measure(given))


def _measure(given: argparse.Namespace) -> None:
    engine.ensure()
    stack.ensure()
    for isolation in given.isolation or _ISOLATIONS:
        with server.running() as running:
            say(f"{given.services} services with {isolation}, on {running.url}")
            world = running.world()
            with on(world, isolation) as made:
                print(_format(isolation, _measure_one(made, world, given.services)), flush=True)
                if given.picture:
                    _look(running.url, given.picture)


def _measure_one(made: Projects, world: World, services: int) -> Scale:
    made.content = _content(services)
    began = time.perf_counter()
    changes = len(made.apply())
    applied = time.perf_counter() - began
    plans = []
    for _ in range(_PLANS):
        began = time.perf_counter()
        plan = made.plan()
        plans.append(time.perf_counter() - began)
        if plan.due:
            raise BenchError(f"a converged plan finds {plan.due[0].what}")
    return Scale(changes, len(made.projects()), applied, median(plans), _time_starts(made, world))


def _content(services: int) -> dict[str, Any]:
    names = [f"service-{number:03}" for number in range(services)]
    return {
        "project": {"name": "Acme", "slug": "acme-co"},
        "environments": [{"slug": each, "name": each.title()} for each in _ENVIRONMENTS],
        "shared_folders": [_SHARED],
        "services": {name: {"folder": f"/{name}", "imports": [_SHARED]} for name in names},
    }


def _time_starts(made: Projects, world: World) -> dict[str, float]:
    """Return the median of the seconds of a service's starts, by loader."""
    name, stage = "service-000", "production"
    layout = locate(made.deployer, made.reach())
    for folder in (f"/{name}", _SHARED):
        at = {"projectId": layout.find(stage, folder), "environment": stage, "secretPath": folder}
        made.deployer.post("/api/v4/secrets/FAKE", json={**at, "secretValue": "obviously-fake"})
    identity = made.memory.identities[f"{name}-{stage}"]
    auth = made.deployer.get(f"/api/v1/auth/universal-auth/identities/{identity}")
    credential = (
        auth["identityUniversalAuth"]["clientId"],
        create_client_secret(made.deployer, identity, "bench").value,
    )
    found = local_file.find_ids(layout, made.desired, name)
    with tempfile.TemporaryDirectory() as directory:
        place = found._replace(domain=world.standin.url, folder=f"/{name}")
        local_file.write(Path(directory), place)
        return {
            loader: median(
                start(loader, credential, Path(directory))["ms"] / 1000 for _ in range(_STARTS)
            )
            for loader in LOADERS
        }


def _look(url: str, picture: Path) -> None:
    """Find a project in the web page of a real server, open it, and take a screenshot of all.

    The seconds until the list and the project are shown go to standard error.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-proxy-server"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(_PAGE_SECONDS * 1000)
        page.goto(f"{url}/login")
        page.locator("input[type=email]").fill(EMAIL)
        page.locator("input[type=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_text("Secrets Management", exact=True).last.click()
        began = time.perf_counter()
        page.get_by_text("service-0").first.wait_for()
        say(f"The page lists the projects after {time.perf_counter() - began:.1f} s")
        page.screenshot(path=picture)
        page.locator("input[placeholder*=earch]").first.fill("service-000 Prod")
        began = time.perf_counter()
        page.get_by_text("service-000 Production").first.click()
        page.wait_for_url(lambda shown: shown.endswith("/overview"))
        page.get_by_text("service-000", exact=True).first.wait_for()
        say(f"It shows a project's folder {time.perf_counter() - began:.1f} s after the search")
        browser.close()


def _format(isolation: str, scale: Scale) -> str:
    starts = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in scale.starts.items())
    return (
        f"{isolation}: {scale.projects} projects; first apply {scale.apply:.1f} s for "
        f"{scale.changes} changes; converged plan {scale.plan:.1f} s; starts: {starts}"
    )


if __name__ == "__main__":
    sys.exit(main())
