"""Test that the playbook of the benchmark manages what the deploy manages.

The playbook renders the deploy's own template and writes the same files, so bench/ansible/vars.yml
must have all variables of the template and the content of the files.
"""

import json
import os
import re
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, meta

from bench import against_ansible, fresh_deploy
from infisical_iac.agent.keys import _make_key
from infisical_iac.core.settings import Settings, load
from infisical_iac.host import deploy as host_deploy
from infisical_iac.host import docker, kernel
from infisical_iac.host.machine import DAEMON_FILE
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import resolve_auto
from infisical_iac.stack.compose import compose_file
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
    tasks = (_PLAYBOOK / "tasks" / "keys.yml").read_text()
    [in_tasks] = re.findall(r"tx1 -N (\d+)", tasks)
    lengths = {**variables["keys"], "admin_password": int(in_tasks)}
    assert {name: len(_make_key(name)) // 2 for name in lengths} == lengths


_ASKED_FOR = (
    *("settings", "image", "drill", "cpus", "node_options", "trusted", "redis_maxmemory_mb"),
    *("postgres_mount", "interval", "start_interval", "caddy", "behind_proxy"),
    *("variables", "given", "extra_ca", "internal_connections", "proxy_url", "metrics"),
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


def test_the_shell_script_configures_docker_and_makes_keys_as_the_playbook_does(
    variables: dict[str, Any],
) -> None:
    text = Path(fresh_deploy.SCRIPT).read_text()
    [config] = re.findall(rf"(?ms)^cat >{DAEMON_FILE} <<'FILE'\n(.*?)^FILE$", text)
    assert json.loads(config) == docker.DAEMON
    lengths = re.findall(r"(?m)^random (\d+) >(\w+)$", text)
    assert {name: int(length) for length, name in lengths} == variables["keys"]


def _load_tasks(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((_PLAYBOOK / "tasks" / name).read_text())
    return [each for task in found for each in (task, *task.get("block", ()))]


_TASK_FILES = sorted(each.name for each in (_PLAYBOOK / "tasks").glob("*.yml"))
_TASKS = {name: _load_tasks(name) for name in _TASK_FILES}
_PLAYS = yaml.safe_load((_PLAYBOOK / "playbook.yml").read_text())
# What may be in a task besides its module; Ansible refuses other words.
_KEYWORDS = {
    *("args", "block", "changed_when", "failed_when", "loop", "loop_control", "module_defaults"),
    *("name", "no_log", "notify", "register", "tags", "vars", "when"),
}
# Filters of Ansible that Jinja lacks, and the variables that it sets by itself.
_FILTERS = (
    *("b64decode", "basename", "combine", "dict2items", "difference", "dirname", "flatten"),
    "from_json",
    *("hash", "intersect", "items2dict", "product", "regex_search", "subelements", "to_json"),
    *("to_nice_json", "zip"),
)
_MAGIC = {"item", "lookup", "omit", "playbook_dir"}


def _find_texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _find_texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _find_texts(each)
    elif isinstance(value, str):
        yield value


def _find_variables(text: str) -> set[str]:
    """Return the variables that an expression needs. Raises TemplateError for a wrong one."""
    environment = Environment()
    environment.filters |= dict.fromkeys(_FILTERS, str)
    environment.from_string(text)
    return meta.find_undeclared_variables(environment.parse(text))


def test_every_file_of_tasks_is_used() -> None:
    texts = [*_find_texts(_PLAYS), *_find_texts(list(_TASKS.values()))]
    used = {text.removeprefix("tasks/") for text in texts if text.endswith(".yml")}
    assert {*_TASK_FILES} <= used
    assert all((_PLAYBOOK / each).is_file() for each in texts if each.startswith("tasks/"))


@pytest.mark.parametrize("name", _TASK_FILES)
def test_a_task_has_one_module_and_only_known_words(name: str) -> None:
    for task in _TASKS[name]:
        (module,) = {*task} - _KEYWORDS or ["block"]
        assert module in ("block", *_MODULES), (task["name"], module)
        assert ("block" in task) is (module == "block")


_MODULES = (
    *(f"ansible.builtin.{each}" for each in ("apt", "command", "copy", "file", "find", "meta")),
    *(f"ansible.builtin.{each}" for each in ("include_tasks", "raw", "shell", "slurp", "uri")),
    *("ansible.builtin.systemd_service", "ansible.builtin.template"),
    "community.docker.docker_compose_v2",
)


def test_every_expression_is_valid_and_every_variable_defined(variables: dict[str, Any]) -> None:
    tasks = [task for each in _TASKS.values() for task in each]
    project = yaml.safe_load(Path("group_data/chainalign.yaml").read_text())
    registered = {task["register"] for task in tasks if "register" in task}
    counted = {
        task["loop_control"]["index_var"]
        for task in tasks
        if "index_var" in task.get("loop_control", {})
    }
    of_tasks = {name for task in tasks for name in task.get("vars", ())}
    known = _MAGIC | {*variables} | {*project} | registered | counted | of_tasks
    texts = [*_find_texts(tasks), *_find_texts(_PLAYS)]
    conditions = [f"{{{{ {each} }}}}" for task in tasks for each in _conditions(task)]
    templates = [each.read_text() for each in (_PLAYBOOK / "templates").glob("accounts*")]
    needed = {each for text in (*texts, *conditions, *templates) for each in _find_variables(text)}
    assert needed - known == set()


def _conditions(task: dict[str, Any]) -> list[str]:
    found = [task.get(name) for name in ("when", "changed_when", "failed_when")]
    return [each for each in found if isinstance(each, str)]


def test_every_notification_has_its_handler(variables: dict[str, Any]) -> None:
    handlers = {each["name"] for play in _PLAYS for each in play["handlers"]}
    notified = {each["notify"] for each in variables["configuration"] if "notify" in each}
    assert notified == handlers


def test_changes_of_the_playbook_are_listed_by_task_and_item() -> None:
    output = """\
TASK [Packages] ****************************************************************
ok: [staging]

TASK [Logins] ******************************************************************
ok: [staging] => (item=backend-staging)
changed: [staging] => (item=backend-production)

RUNNING HANDLER [Restart Docker] ***********************************************
changed: [staging]
"""
    assert against_ansible.list_changes(output) == ["Logins: backend-production", "Restart Docker"]


def test_ansible_accepts_the_playbook() -> None:
    """`make bench` installs Ansible; the tests above stand for it where it is missing."""
    ansible = against_ansible.command()[-2:]
    if not Path(str(ansible[0])).exists():
        pytest.skip("Ansible is not installed: `make bench` installs it")
    done = subprocess.run(
        [*map(str, ansible), "--syntax-check", "--inventory", "staging,"],
        env={**os.environ, "ANSIBLE_CONFIG": str(_PLAYBOOK / "ansible.cfg")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
