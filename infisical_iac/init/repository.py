"""Render the files of a user's own repository, and inspect those that it has already.

In an existing file only the settings change; everything else stays as a person wrote it.
"""

import ast
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from infisical_iac.core import bundle, schema
from infisical_iac.core.errors import FileError
from infisical_iac.core.own_repository import PYPROJECT, list_assignments
from infisical_iac.core.rendering import template
from infisical_iac.init.answers import GROUP, Answers, is_taken, list_addresses, project_slug
from infisical_iac.init.project_file import flow, scalar
from infisical_iac.init.services import slug
from infisical_iac.workspace.load import declared_file

# The project file of the shipped example, which a clone of this project has.
SHIPPED_PROJECT_FILE = "group_data/chainalign.yaml"
_SETTINGS_TEMPLATE = "group_data/hetzner.py"

# By path, the templates of files that a user's own repository gets and a clone does not.
_AROUND = {
    "deploy.py": "repository/deploy.py",
    str(PYPROJECT): "repository/pyproject.toml",
    ".gitignore": "repository/gitignore",
    "README.md": "repository/README.md",
    "renovate.json": "repository/renovate.json",
    ".github/workflows/infisical.yaml": "repository/github.yaml",
    ".gitlab-ci.yml": "repository/gitlab.yaml",
}


def settings_file(group: str) -> str:
    """Return the path of a group's settings in the repository."""
    return f"group_data/{group}.py"


def inventory_file(group: str) -> str:
    """Return the path of a group's inventory in the repository."""
    return f"inventory/{group}.py"


def project_file(project: str) -> str:
    """Return the path of a project's file in a user's own repository."""
    return f"group_data/{slug(project, fallback='project')}.yaml"


# The shared folder with the secrets of the pipeline's jobs: SSH_PRIVATE_KEY, DRIFT_WEBHOOK.
OPERATIONS = "/operations"
# The loader's package, which has the runner `with-secrets`, and its version.
LOADER, LOADER_VERSION = "infisical-config", "0.1.0"
WORKFLOWS = {"github": ".github/workflows/infisical.yaml", "gitlab": ".gitlab-ci.yml"}

_KEYS = {"github": "repository", "gitlab": "project"}
_HOSTS = {"github.com": "github", "gitlab.com": "gitlab"}
_REMOTE = re.compile(
    r"(?:(?:https|ssh)://(?:[^@/\s]+@)?|git@)(?P<host>[A-Za-z0-9.-]+)(?::\d+)?[/:]"
    r"(?P<name>[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+)/?"
)


class Pipeline(NamedTuple):
    """The repository of a pipeline whose jobs log in by tokens of the platform.

    Attributes:
        branch: the branch that checks for drift on a schedule.
        server: the address of a self-hosted platform; empty for github.com and gitlab.com.
    """

    platform: str
    repository: str
    branch: str = "main"
    server: str = ""

    def jobs(self, environment: str) -> dict[str, dict[str, Any]]:
        """Return the entries of `ci` in the project file.

        Args:
            environment: the environment with the `/operations` that the jobs read; empty for none.
        """
        own = {_KEYS[self.platform]: self.repository}
        if self.server:
            own["server"] = self.server
        jobs: dict[str, dict[str, Any]] = {"check": {"sees": "names", "auth": {self.platform: own}}}
        if environment:
            # For a pull request, people approve the job, or its branch is protected.
            is_github = self.platform == "github"
            reviewed: dict[str, Any] = (
                {"environment": "infisical"} if is_github else {"protected": True}
            )
            for name, admitted in (("plan", reviewed), ("drift", {"ref": self.branch})):
                jobs[name] = {
                    "sees": {environment: [OPERATIONS]},
                    "auth": {self.platform: {**own, **admitted}},
                }
        return jobs


def find_pipeline(directory: Path, platform: str = "") -> Pipeline | None:
    """Return the repository at GitHub or GitLab that a directory is a clone of; None if unknown.

    Args:
        platform: the platform of a self-hosted server; empty for github.com and gitlab.com only.
    """
    found = _REMOTE.fullmatch(_git(directory, "remote", "get-url", "origin"))
    if found is None:
        return None
    known = _HOSTS.get(found["host"])
    if not (known or platform) or (known and platform not in ("", known)):
        return None
    return Pipeline(
        known or platform,
        found["name"].removesuffix(".git"),
        _git(directory, "symbolic-ref", "--short", "HEAD") or "main",
        "" if known else f"https://{found['host']}",
    )


def _git(directory: Path, *arguments: str) -> str:
    command = ("git", "-C", str(directory), *arguments)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def files(
    answers: Answers,
    workspace_file: str = SHIPPED_PROJECT_FILE,
    pipeline: Pipeline | None = None,
) -> dict[str, str]:
    """Return the texts of settings, inventory and project file, by their paths.

    Args:
        workspace_file: the path of the project file.
        pipeline: the repository's pipeline, if it is known.
    """
    name = answers.project or answers.organization or "ChainAlign"
    # If the project file is kept, `init` asks for no environments, and this text is not used.
    environments = answers.environments or Answers.environments
    # Without a domain, no job of a platform reaches Infisical.
    reading = environments[-1].slug if answers.site_url else ""
    return {
        settings_file(answers.group): template(
            _SETTINGS_TEMPLATE,
            addresses=[*list_addresses(answers.monitoring).values()],
            answers=answers,
            backup=_backup_targets(answers),
            literal=literal,
            quote=_quote,
            schema_version=schema.SETTINGS_SCHEMA.version,
            workspace_file="" if workspace_file == SHIPPED_PROJECT_FILE else workspace_file,
        ),
        workspace_file: template(
            SHIPPED_PROJECT_FILE,
            project={"name": scalar(name), "slug": scalar(project_slug(name))},
            environments=[(scalar(each.slug), scalar(each.name)) for each in environments],
            services=[(scalar(each.name), each.folder) for each in answers.services],
            schema_version=schema.PROJECT_FILE_SCHEMA.version,
            jobs=pipeline.jobs(reading) if pipeline else {},
            operations=OPERATIONS if pipeline and reading else "",
            flow=flow,
        ),
        inventory_file(answers.group): template("inventory/group.py", group=answers.group),
    }


def files_around(
    answers: Answers, workspace_file: str, services: str, environment: str
) -> dict[str, str]:
    """Return the texts of the repository's other files, by their paths.

    Args:
        services: the directory of the services, relative to the repository.
        environment: the environment with the `/operations` that the workflows read.
    """
    name = answers.project or answers.organization
    values = {
        "environment": environment,
        "folder": OPERATIONS,
        "group": answers.group,
        "inventory": inventory_file(answers.group),
        "is_default_group": answers.group == GROUP,
        "is_new": bool(answers.ssh_public_key),
        "loader": LOADER_VERSION,
        "title": name,
        "package": slug(name, fallback="project"),
        "release": bundle.version(),
        "services": services,
        "settings": settings_file(answers.group),
        "site_url": answers.site_url,
        "watches": bool(answers.monitoring),
        "workspace_file": workspace_file,
    }
    return {path: template(source, **values) for path, source in _AROUND.items()}


def is_clone(directory: Path) -> bool:
    """Return whether a directory is a clone of this project, which needs settings only."""
    return (directory / "infisical_iac").is_dir()


def find_group(directory: Path) -> str:
    """Return the group of INFISICAL_IAC_INVENTORY, of the only inventory, or else the default.

    Groups of this project's own, such as `staging` in a clone, count as the default.
    """
    named = Path(os.environ.get("INFISICAL_IAC_INVENTORY", "")).stem
    inventories = [path.stem for path in sorted(directory.glob("inventory/*.py"))]
    if named in inventories and not is_taken(named, is_clone=is_clone(directory)):
        return named
    return inventories[0] if len(inventories) == 1 else GROUP


def find_project_file(directory: Path, group: str) -> str:
    """Return the path of the project file that the settings of a group name."""
    return str(declared_file(inventory_file(group), directory))


def find_edited(present: Mapping[str, str], group: str) -> list[str]:
    """Return those paths of settings and project file in `present` that a person edited."""
    shipped = files(Answers(group=group))
    sample = {shipped[SHIPPED_PROJECT_FILE], shipped[settings_file(group)]}
    inventory = inventory_file(group)
    return [path for path, text in present.items() if path != inventory and text not in sample]


def is_sample(project_file: Path) -> bool:
    """Return whether a project file is still the shipped one, whose services are samples."""
    return project_file.read_text("utf-8") == files(Answers())[SHIPPED_PROJECT_FILE]


def _backup_targets(answers: Answers) -> tuple[Mapping[str, Any], ...]:
    if answers.backup is None:
        return ()
    second = answers.backup.model_dump(exclude_defaults=True)
    return (*bundle.default_settings()["backup_targets"], second)


def _quote(text: str) -> str:
    """Return a text in double quotes, as Python reads it."""
    return json.dumps(text, ensure_ascii=False)


def read_settings(text: str) -> dict[str, object]:
    """Return the settings that a file sets to literals, without running it.

    Raises FileError if it is not Python.
    """
    values = {}
    for name, value in _assignments(text).items():
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, TypeError):
            continue
    return values


def set_settings(text: str, values: Mapping[str, object]) -> str:
    """Return the text with settings set; None makes a setting a comment.

    A setting that the file has keeps its place. A new one replaces its example in a comment, or is
    added at the end.

    Raises FileError if the file is not Python, or computes one of the settings.
    """
    for name, value in values.items():
        text = _set(text, name, value)
    return text


def literal(value: object, *, lines: bool = False) -> str:
    """Return a value as Python in double quotes; a list of dictionaries has a line for each.

    Args:
        lines: whether a dictionary has a line for each of its keys.
    """
    if isinstance(value, tuple) and value and all(isinstance(each, dict) for each in value):
        return "".join(("(\n", *(f"    {literal(each)},\n" for each in value), ")"))
    if isinstance(value, dict):
        pairs = [f"{literal(key)}: {literal(each)}" for key, each in value.items()]
        if lines:
            return "".join(("{\n", *(f"    {each},\n" for each in pairs), "}"))
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, str) and '"' not in value and "\\" not in value and value.isprintable():
        return f'"{value}"'
    return repr(value)


def _set(text: str, name: str, value: object) -> str:
    found = _assignments(text).get(name)
    if found is None:
        if value is None:
            return text
        line = f"{name} = {literal(value)}"
        example = re.search(rf"(?m)^# ?{name} = .*$", text)
        if example:
            return f"{text[: example.start()]}{line}{text[example.end() :]}"
        return f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{line}\n"
    try:
        ast.literal_eval(found)
    except (ValueError, TypeError):
        raise FileError(
            f"{name} is computed in the settings, line {found.lineno}: change it there by hand",
            code="file.settings",
        ) from None
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    first, last = found.lineno - 1, (found.end_lineno or found.lineno) - 1
    if value is None:
        lines[first : last + 1] = [f"# {line}" for line in lines[first : last + 1]]
        return "".join(lines)
    # The columns of the tree count bytes.
    before = lines[first].encode()[: found.col_offset].decode()
    after = lines[last].encode()[found.end_col_offset :].decode()
    lines[first : last + 1] = [f"{before}{literal(value)}{after}"]
    return "".join(lines)


def _assignments(text: str) -> dict[str, ast.expr]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise FileError(
            f"the settings are not Python{where}: correct them by hand", code="file.settings"
        ) from None
    return {name: value for name, (_, value) in list_assignments(tree).items()}
