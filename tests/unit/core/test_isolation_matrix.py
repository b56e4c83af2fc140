"""Test that each end-to-end module runs with every isolation, or has a reason not to.

`make test-isolation` runs the modules in ANY_ISOLATION of the Makefile. A new module is added to
that list if the isolation of services may change what it tests, otherwise to a reason here.
"""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[3]

# Modules by the reason why they run with one isolation only.
_ONE_ISOLATION = {
    "it sets the isolation itself, or moves between two": {"isolation", "projects"},
    "`make test-cluster` runs it; in Infisical, a cluster holds the same projects as a host": {
        *("cluster", "cluster_alerts", "cluster_commands", "scaling"),
    },
    "it is about the host or its network; a secret in it is only an example of traffic": {
        *("bad_input", "docker_repository", "first_boot", "guard", "hardening", "ingress", "lock"),
        *("logs", "next_to_dokploy", "outbound_proxy", "registry"),
    },
    "it is about the instance's own settings; a secret in it only shows that Infisical works": {
        *("administrator", "license", "login", "mail"),
    },
    "it is about alerts, metrics and timers, whose rows come from commands that the list has": {
        *("alerts", "drift_timer", "monitoring"),
    },
    "it saves, deletes or moves the whole database; backup, drill and restore are in the list": {
        *("backup_failures", "data_volume", "destroy_command"),
    },
    "test_projects.py upgrades with services in projects of their own": {"upgrade"},
    "it installs the package or measures, with the settings that a new user has": {
        *("bench", "installed"),
    },
}


def _read_list() -> list[str]:
    """Return the modules in ANY_ISOLATION of the Makefile."""
    text = (_ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    found = re.search(r"^ANY_ISOLATION := (.+)$", text, re.MULTILINE)
    assert found
    return found[1].split()


def test_each_module_runs_with_every_isolation_or_has_one_reason_not_to() -> None:
    excepted = [module for modules in _ONE_ISOLATION.values() for module in modules]
    decided = sorted([*_read_list(), *excepted])
    modules = (_ROOT / "tests" / "e2e").glob("test_*.py")
    assert decided == sorted(each.stem.removeprefix("test_") for each in modules)


def test_the_modules_of_clusters_are_those_with_the_mark() -> None:
    """`make test-isolation` leaves out tests with that mark."""
    modules = (_ROOT / "tests" / "e2e").glob("test_*.py")
    marked = {each.stem.removeprefix("test_") for each in modules if _is_of_cluster(each)}
    assert {*_read_list()} & marked == set()
    assert marked in _ONE_ISOLATION.values()


def _is_of_cluster(module: Path) -> bool:
    return "pytest.mark.cluster" in module.read_text("utf-8")
