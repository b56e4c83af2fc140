"""Test that the playbook of the benchmark manages what the deploy manages.

The playbook renders the deploy's own template and writes the same files, so bench/ansible/vars.yml
must have all variables of the template and the content of the files.
"""

import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infisical_iac.core.rendering import script_file
from infisical_iac.core.settings import Settings, load
from infisical_iac.host import deploy as host_deploy
from infisical_iac.host import docker, kernel
from infisical_iac.host.machine import DAEMON_FILE
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import resolve_auto
from infisical_iac.stack.compose_file import compose_file
from tests.unit.settings_of import defaults

_PLAYBOOK = Path("bench/ansible")


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    """Return the settings of a staging host that is reached through SSH only."""
    own = runpy.run_path("group_data/staging.py")
    staging = {name: own[name] for name in own["__all__"]}
    ingress = {"ingress": "none", "site_url": "http://127.0.0.1:8080", "firewall": "on"}
    return defaults(**(staging | ingress))


@pytest.fixture(scope="module")
def settings(values: dict[str, Any]) -> Settings:
    return resolve_auto(load(values), MachineState())


@pytest.fixture(scope="module")
def variables(values: dict[str, Any]) -> dict[str, Any]:
    """Return the playbook's variables, with the images that the settings have."""
    choice = {
        "infisical": values["infisical_image"],
        "infisical_version": values["infisical_version"],
        "postgres": values["postgres_image"],
        "redis": values["redis_image"],
    }
    known: dict[str, Any] = yaml.safe_load((_PLAYBOOK / "vars.yml").read_text())
    return known | {"choice": choice}


def _render(name: str, known: dict[str, Any]) -> str:
    """Return a template of the playbook as Ansible's module `template` renders it."""
    folder = _PLAYBOOK / "templates"
    header, _, text = (folder / name).read_text().partition("\n")
    options: dict[str, Any] = {"trim_blocks": True}
    for each in header.removeprefix("#jinja2:").split(","):
        option, _, value = each.partition(":")
        options[option.strip()] = value.strip() == "True"
    loader = FileSystemLoader(folder)
    environment = Environment(loader=loader, undefined=StrictUndefined, **options)
    return environment.from_string(text).render(known)


def _resolve(value: Any, known: dict[str, Any]) -> Any:
    """Return a variable with its expressions evaluated, as Ansible evaluates them on use."""
    if isinstance(value, dict):
        return {name: _resolve(each, known) for name, each in value.items()}
    if isinstance(value, list):
        return [_resolve(each, known) for each in value]
    if not isinstance(value, str):
        return value
    # Ansible keeps the last newline of a variable's value.
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(value).render(known)


def test_keys_have_the_same_lengths_as_in_the_deploy(variables: dict[str, Any]) -> None:
    script = script_file("keys")
    _, start, rest = script.partition("bytes() {")
    lengths = start + rest.partition("\n}")[0] + "\n}"
    names = [*variables["keys"], "admin_password"]
    program = f"{lengths}\nfor name in {' '.join(names)}; do bytes $name; done"
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=True)
    tasks = (_PLAYBOOK / "tasks" / "keys.yml").read_text()
    in_tasks = re.findall(r"tx1 -N (\d+)", tasks)
    assert done.stdout.split() == [*map(str, variables["keys"].values()), *in_tasks]


_ASKED_FOR = (
    *("settings", "image", "drill", "cpus", "node_options", "trusted", "redis_maxmemory_mb"),
    *("postgres_mount", "interval", "start_interval", "caddy", "behind_proxy"),
    *("variables", "given", "extra_ca", "internal_connections", "proxy_url"),
)


def test_the_compose_file_equals_that_of_the_deploy(
    variables: dict[str, Any], settings: Settings
) -> None:
    known = {name: _resolve(variables[name], variables) for name in _ASKED_FOR}
    rendered = _render("compose.yaml.j2", known)
    assert rendered == compose_file(settings, MachineState(os="debian", release="13"))


def test_expressions_in_the_tasks_are_resolved(variables: dict[str, Any]) -> None:
    wait = yaml.safe_load((_PLAYBOOK / "tasks/stack.yml").read_text())[-1]
    [module] = (each for name, each in wait.items() if name.startswith("community."))
    assert _resolve(module["wait_timeout"], variables) == "300"
    images = _resolve(variables["images"], variables | {"image": "a:1"})
    assert images == ["a:1", variables["choice"]["postgres"], variables["choice"]["redis"]]


def test_files_of_the_playbook_equal_those_of_the_deploy(
    variables: dict[str, Any], settings: Settings
) -> None:
    deployed = [*host_deploy.FILES, *kernel.sysctl(kernel.parameters(settings))]
    expected = {file.path: file.content for file in deployed}
    found = {
        each["dest"]: _resolve(each["content"], variables)
        for each in variables["configuration"]
        if each["dest"] != DAEMON_FILE
    }
    assert found == expected
    assert variables["parameters"] == kernel.parameters(settings)


def test_docker_is_configured_as_in_the_deploy(variables: dict[str, Any]) -> None:
    assert variables["daemon"] == docker.DAEMON
