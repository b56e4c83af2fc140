"""Propose changes, as a patch, to files of services that still mention `.env` files.

Only lines whose meaning is certain are changed: instructions that copy an `.env` file, `env_file:`
in compose files, steps of CI that write one, and commands in documents. People change the rest.
"""

import difflib
import os
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from infisical_iac.check.repository import Repository
from infisical_iac.check.startup import RUNNER, read_package
from infisical_iac.core.errors import FileError
from infisical_iac.dotenv.grammar import NODE
from infisical_iac.migrate import evidence, find, git
from infisical_iac.migrate.evidence import upwards
from infisical_iac.migrate.find import is_env
from infisical_iac.migrate.ignores import is_dockerfile

FILE = "migration.patch"
HEADING = "How to run this service"
_VARIABLES = ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET")
_README = re.compile(r"readme(\.md|\.markdown)?", re.IGNORECASE)
_DOCUMENT = re.compile(r".*\.(md|markdown|mdx)|readme", re.IGNORECASE)
_CI = re.compile(r"(.*/)?(\.github/workflows/[^/]+\.ya?ml|\.gitlab-ci(\.[^/]*)?\.ya?ml)")
# Images of programs that can't log in to Infisical, by the beginning of their names.
_OTHERS_IMAGE = re.compile(
    r"adminer|caddy|cassandra|clickhouse|cloudflared|consul|couchdb|elasticsearch|grafana|haproxy|"
    r"httpd|infisical|influxdb|kafka|keycloak|keydb|kibana|localstack|loki|mailhog|mailpit|mariadb|"
    r"meilisearch|memcached|minio|mongo|mysql|nats|neo4j|nginx|opensearch|percona|pgadmin|pgbouncer|"
    r"pgvector|phpmyadmin|postgis|postgres|prometheus|qdrant|rabbitmq|redis|timescaledb|traefik|"
    r"typesense|valkey|vault|weaviate|zookeeper"
)
# Paths that git does not quote in a patch.
_PLAIN_PATH = re.compile(r"[\w@+.,=/()\[\]{}~#%-]+")


class Proposal(NamedTuple):
    """A file with its text before and after the proposed change; a new file has no text before."""

    path: str
    before: str
    after: str

    @property
    def diff(self) -> str:
        """Return the change as a unified diff."""
        source = f"a/{self.path}" if self.before else "/dev/null"
        lines = difflib.unified_diff(
            _split(self.before), _split(self.after), source, f"b/{self.path}"
        )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in lines
        )


def _split(text: str) -> list[str]:
    # Not `splitlines`, which also splits at characters that git takes for part of a line.
    return [line for line in re.split(r"(?<=\n)", text) if line]


def propose(repository: Repository, services: Collection[str]) -> list[Proposal]:
    """Return the proposed changes, by path; nothing is written.

    Args:
        services: the services whose files were migrated; each gets a section on how to run it.
    """
    after: dict[str, str] = {}
    for path in repository.paths:
        name = posixpath.basename(path)
        change = None
        if is_dockerfile(name):
            change = change_dockerfile
        elif any(evidence.compose_files([path])):
            change = change_compose_file
        elif _CI.fullmatch(path):
            change = change_ci
        elif _DOCUMENT.fullmatch(name):
            change = change_document
        if change and (text := _read(repository.root, path)):
            changed = change(text)
            if changed != text:
                after[path] = changed
    for path, text in _add_sections(repository, services, after):
        after[path] = text
    return [
        Proposal(path, _read(repository.root, path), text)
        for path, text in sorted(after.items())
        if _PLAIN_PATH.fullmatch(path) and not _is_ignored(repository.root / path)
    ]


def _is_ignored(file: Path) -> bool:
    """Return whether git ignores a file. A patch would spread the secrets that may be in it."""
    try:
        return git.is_ignored(file)
    except FileError:
        return False  # There is no git.


def as_patch(proposals: Sequence[Proposal]) -> str:
    """Return the patch, for `git apply` in the directory of the services."""
    return "".join(each.diff for each in proposals)


def _read(root: Path, path: str) -> str:
    """Return the text of a file; "" if a patch can't change it: a link, or not UTF-8."""
    if (root / path).is_symlink():
        return ""
    data, problem = find.content(root, path)
    try:
        text = "" if problem else data.decode()
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def _names_env_file(word: str) -> bool:
    return is_env(posixpath.basename(word.strip("\"'").rstrip("/")))


_COPY = re.compile(r"(?i)^(\s*(?:COPY|ADD)\s+(?:--\S+\s+)*)([^\[\n\\]+?)(\s*\r?\n?)$")
_COPIES_IN_SHELL = re.compile(
    r"(?:cp|mv|install|ln)(?:\s+-\S+)*\s+\S+\s+(\S+)|(?:echo|printf|cat)\b[^|;&<]*>>?\s*(\S+)"
)
_RUN = re.compile(r"(?i)^\s*RUN\s+([^\n\\]+?)\s*$")
_ENV_FILE_FLAG = re.compile(
    r"\"--env-file(?:-if-exists)?=[^\"]*\",\s*|--env-file(?:-if-exists)?=\S+\s+"
)


def change_dockerfile(text: str) -> str:
    """Return a Dockerfile without copies of `.env` files, and without `--env-file` in `CMD`."""
    lines = _split(text)
    before = ["", *lines]
    return "".join(
        line if continued.rstrip().endswith("\\") else _change_instruction(line)
        for continued, line in zip(before, lines, strict=False)
    )


def _change_instruction(line: str) -> str:
    if found := _COPY.match(line):
        *sources, target = found[2].split()
        kept = [each for each in sources if not _names_env_file(each)]
        if len(kept) == len(sources) or any(each.startswith("<<") for each in sources):
            return line
        return f"{found[1]}{' '.join((*kept, target))}{found[3]}" if kept else ""
    if (found := _RUN.match(line)) and _writes_env_file(found[1]):
        return ""
    if re.match(r"(?i)\s*(?:CMD|ENTRYPOINT)\b", line):
        return _ENV_FILE_FLAG.sub("", line)
    return line


def _writes_env_file(command: str) -> bool:
    """Return whether a shell command does nothing but write an `.env` file."""
    found = _COPIES_IN_SHELL.fullmatch(command.strip())
    return found is not None and _names_env_file(found[1] or found[2] or "")


def change_compose_file(text: str) -> str:
    """Return a compose file whose services get credentials as variables instead of `.env` files.

    If it builds several services, each gets variables of its own, as each has its own credentials.
    A service stays as it is if its `env_file` names other files, if its `environment` is written
    in the form {…}, or if it runs somebody else's program, such as PostgreSQL.
    """
    lines = _split(text)
    end = "\r\n" if "\r\n" in text else "\n"
    edits: list[tuple[int, int, list[str]]] = []
    services = [*_compose_nodes(text)]
    built = sum(any(key.value == "build" for key, _ in node.value) for _, node in services)
    for name, service in {id(node): (name, node) for name, node in reversed(services)}.values():
        own = re.sub(r"\W", "_", f"{name.upper()}_") if built > 1 else ""
        keys = {str(key.value): (key, value) for key, value in service.value}
        if "env_file" not in keys or not _all_env_files(keys["env_file"][1]):
            continue
        if "build" not in keys and _is_of_others(keys.get("image")):
            continue
        key, value = keys["env_file"]
        first, last = key.start_mark.line, _last_line(value)
        indent = " " * key.start_mark.column
        if "environment" not in keys:
            new = [f"{indent}environment:", *_in_mapping(f"{indent}  ", own, ())]
            edits.append((first, last, [f"{each}{end}" for each in new]))
            continue
        there = keys["environment"][1]
        if there.flow_style or not there.value:
            continue
        at = _last_line(there) + 1
        if isinstance(there, yaml.MappingNode):
            names = {name.value for name, _ in there.value}
            added = _in_mapping(" " * there.value[0][0].start_mark.column, own, names)
        else:
            names = {str(each.value).partition("=")[0] for each in there.value}
            dash = " " * there.start_mark.column
            added = _in_mapping("", own, names)
            added = [f"{dash}- {each.replace(': ', '=', 1)}" for each in added]
        edits += [(first, last, []), (at, at - 1, [f"{each}{end}" for each in added])]
    if not edits:
        return text
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += end
    for first, last, new in sorted(edits, reverse=True):
        lines[first : last + 1] = new
    changed = "".join(lines)
    return changed if _has_same_rest(changed, text) else text


def _compose_nodes(text: str) -> Iterator[tuple[str, yaml.MappingNode]]:
    """Yield the services in a compose file that are written in block style, with their names."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return
    for key, services in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "services" and isinstance(services, yaml.MappingNode):
            for name, service in services.value:
                if isinstance(service, yaml.MappingNode) and not service.flow_style:
                    yield str(name.value), service


def _is_of_others(image: tuple[yaml.Node, yaml.Node] | None) -> bool:
    return image is not None and bool(_OTHERS_IMAGE.match(posixpath.basename(str(image[1].value))))


def _all_env_files(value: yaml.Node) -> bool:
    if isinstance(value, yaml.ScalarNode):
        return _names_env_file(value.value)
    if not isinstance(value, yaml.SequenceNode):
        return False
    names = []
    for each in value.value:
        if isinstance(each, yaml.MappingNode):
            each = next((node for key, node in each.value if key.value == "path"), each)
        names.append(str(each.value))
    return bool(names) and all(map(_names_env_file, names))


def _last_line(node: yaml.Node) -> int:
    """Return the last line of a node; YAML's end mark of a block is at the next token."""
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return int(node.end_mark.line) - 1
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.line)
    last = node.value[-1]
    return _last_line(last[1] if isinstance(last, tuple) else last)


def _in_mapping(indent: str, own: str, there: Collection[str]) -> list[str]:
    values = {name: f"${{{own}{name}:?}}" for name in _VARIABLES}
    values["INFISICAL_ENVIRONMENT"] = "${INFISICAL_ENVIRONMENT:-production}"
    return [f"{indent}{name}: {value}" for name, value in values.items() if name not in there]


def _has_same_rest(changed: str, before: str) -> bool:
    """Return whether two compose files differ only in `env_file` and `environment`."""
    try:
        return bool(_without_variables(_data(changed)) == _without_variables(_data(before)))
    except (yaml.YAMLError, AttributeError):
        return False


def _without_variables(compose: Any) -> Any:
    services = compose["services"].items()
    return {
        **compose,
        "services": {
            name: {
                key: value
                for key, value in service.items()
                if key not in ("env_file", "environment")
            }
            for name, service in services
        },
    }


def _data(text: str) -> Any:
    return yaml.load(text, Loader=yaml.SafeLoader)


_COMMAND = re.compile(
    r"^(?P<indent>\s*)(?P<dash>-\s+)?(?P<run>run:\s+)?(?P<command>[^\s|>-].*?)\s*$"
)
_NAMED_STEP = re.compile(r"\s*-\s+name:\s")
_LEFT_OUT = (
    "# No .env file is written any more: start the service by with-secrets, with a token of this "
    "platform (infisical-iac docs pipelines)."
)


def change_ci(text: str) -> str:
    """Return a workflow without the commands that only write an `.env` file.

    A comment in their place says what the service needs instead. A step stays as it is if it has
    more keys than its name and command, or if it is the only step of its job.
    """
    lines = _split(text)
    changed: list[str] = []
    for number, line in enumerate(lines):
        found = _COMMAND.match(line)
        if not found or not _writes_env_file(found["command"].strip("\"'")):
            changed.append(line)
            continue
        indent, following = found["indent"], next(iter(lines[number + 1 :]), "")
        deeper = len(following) - len(following.lstrip()) > len(indent)
        is_whole = not deeper
        if found["run"] and not found["dash"]:
            # The command is a key of a step: the step is removed if its only other key is a name.
            is_named = bool(changed) and bool(_NAMED_STEP.match(changed[-1]))
            is_last = not following.startswith(indent) or not following.strip()
            is_whole = is_named and is_last and not deeper
            if is_whole:
                indent = changed.pop().partition("-")[0]
        comment = _LEFT_OUT
        if not found["run"] and not found["dash"]:
            # The line may be the whole body of an `if`, which needs a command: hence `true`.
            is_whole, comment = _is_script_line(lines, number, indent), f"true {_LEFT_OUT}"
        end = "\r\n" if line.endswith("\r\n") else "\n"
        changed.append(f"{indent}{comment}{end}" if is_whole else line)
    after = "".join(changed)
    return after if _has_same_parts(after, text) else text


def _is_script_line(lines: Sequence[str], number: int, indent: str) -> bool:
    """Return whether a line is a whole command in a block that keeps its line ends (`run: |`)."""
    if number and lines[number - 1].rstrip().endswith(("\\", "&", "|", "(")):
        return False
    above = (each for each in reversed(lines[:number]) if each.strip())
    opening = next((each for each in above if len(each) - len(each.lstrip()) < len(indent)), "")
    while opening and not re.search(r":\s*[|>][+-]?\d*\s*$|^\s*-\s+[|>][+-]?\s*$", opening):
        indent = opening[: len(opening) - len(opening.lstrip())]
        opening = next((each for each in above if len(each) - len(each.lstrip()) < len(indent)), "")
    return "|" in opening.rstrip()[-3:]


def _has_same_parts(changed: str, before: str) -> bool:
    """Return whether no job lost its only step, and the text is still YAML."""
    try:
        return [*_list_parts(_data(before))] == [*_list_parts(_data(changed))]
    except yaml.YAMLError:
        return False


def _list_parts(data: Any, at: str = "") -> Iterator[str]:
    """Yield the paths of all strings and non-empty lists; list entries have no path."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _list_parts(value, f"{at}/{key}")
    elif data not in (None, "", []):
        yield at


_COPY_IN_DOCUMENT = re.compile(
    r"\b(?P<cp>cp(?:\s+-\w+)*)\s+"
    r"(?P<directory>(?:[\w.-]+/)*)\.env\.(?:example|sample|template|dist|defaults)"
    r"\s+(?P<to>(?:[\w.-]+/)*)\.env(?:\.(?:local|development))?(?![\w.-])"
)
# A sentence that describes such a copy.
_COPY_IN_SENTENCE = re.compile(
    r"(?P<copy>\b[Cc]opy) (?P<tick>`?)(?P<directory>(?:[\w.-]+/)*)"
    r"\.env\.(?:example|sample|template|dist|defaults)(?P=tick) (?P<word>to|as|into) "
    r"(?P=tick)(?P<to>(?:[\w.-]+/)*)\.env(?:\.(?:local|development))?(?P=tick)(?![\w-]|\.\w)"
)
_NODE_IN_DOCUMENT = re.compile(r"\bnode\s+--env-file(?:-if-exists)?=\S+\s+")


def change_document(text: str) -> str:
    """Return a document without commands that make or read an `.env` file."""

    def copy(found: re.Match[str]) -> str:
        file = f"{found['to']}.env.local"
        return f"{found['cp']} {found['directory']}.env.local.example {file} && chmod 600 {file}"

    def rename(found: re.Match[str]) -> str:
        tick, directory, to = (found[name] for name in ("tick", "directory", "to"))
        source, file = f"{directory}.env.local.example", f"{to}.env.local"
        return f"{found['copy']} {tick}{source}{tick} {found['word']} {tick}{file}{tick}"

    text = _COPY_IN_SENTENCE.sub(rename, _COPY_IN_DOCUMENT.sub(copy, text))
    return _NODE_IN_DOCUMENT.sub("npx with-secrets -- node ", text)


def _add_sections(
    repository: Repository, services: Collection[str], changed: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield README files with a section on how to run each service."""
    texts = dict(changed)
    for name in services:
        homes = repository.services.get(name)
        if not homes:
            continue
        home = homes[0]
        readmes = {
            posixpath.dirname(p): p
            for p in repository.paths
            if _README.fullmatch(posixpath.basename(p))
        }
        path = next((readmes[up] for up in upwards(home) if up in readmes), "")
        path = path or posixpath.join(home, "README.md")
        is_own = posixpath.dirname(path) == home
        heading = HEADING if is_own else HEADING.replace("this service", name)
        before = texts.get(path) or _read(repository.root, path)
        if not before and os.path.lexists(repository.root / path):
            continue  # Git refuses a whole patch if it creates an existing file.
        if re.search(rf"(?im)^#+ +{re.escape(heading)}\s*$", before):
            continue
        section = _section(repository, name, home, heading, is_own=is_own)
        start = f"{before.rstrip()}\n\n" if before.strip() else f"# {name}\n\n"
        text = f"{start}{section}"
        if "\r\n" in before:
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        texts[path] = text
        yield path, texts[path]


def _section(repository: Repository, name: str, home: str, heading: str, *, is_own: bool) -> str:
    folder = repository.workspace.services[name].folder
    development = _development_slug(repository)
    is_here = is_own or not home
    within, place = ("", "") if is_here else (f", in `{home}`", f" in `{home}`")
    paragraphs = [
        f"## {heading}",
        f"Its secrets are in Infisical, in the folder `{folder}`. There is no `.env` file.",
        f"1. Log in once{within}, with your own account: `{_runner(repository, home)} login`.\n"
        f"   You need access to `{development}`, which an operator of Infisical gives.\n"
        f"2. Start it{place}{_start_command(repository, name, home)}",
        "In production the platform sets the service's own credentials. Write a new secret in\n"
        "Infisical, in each environment, and read it by its name in the code.\n"
        "`infisical-iac check` finds names that are missing.",
    ]
    return "\n\n".join(paragraphs) + "\n"


def _development_slug(repository: Repository) -> str:
    slugs = [each.slug for each in repository.workspace.environments]
    return next((each for each in slugs if find.mode(each) == "development"), slugs[0])


def _manifest(repository: Repository, home: str) -> str:
    manifests = [posixpath.join(home, name) for name in NODE.roots]
    return next((each for each in manifests if each in repository.paths), "")


def _runner(repository: Repository, home: str) -> str:
    """Return the runner's command, which the package of the loader installs."""
    return "npx with-secrets" if _manifest(repository, home) else "with-secrets"


def _start_command(repository: Repository, name: str, home: str) -> str:
    """Return the command that starts a service, with the runner unless its code loads the secrets.

    The text ends a sentence. It is "as before" if the repository does not show a command of a
    service whose code loads them.
    """
    if manifest := _manifest(repository, home):
        scripts = read_package(repository.text(manifest)).get("scripts") or {}
        script = next((each for each in ("dev", "start") if each in scripts), "start")
        command, ran = f"npm run {script}", str(scripts.get(script, ""))
    else:
        image = repository.text(posixpath.join(home, "Dockerfile"))
        commands = repository.list_commands(name)
        if found := re.search(r"(?m)^CMD\s+(\[.*\])\s*$", image):
            words = read_package(f'{{"cmd": {found[1]}}}').get("cmd") or ()
            commands = [" ".join(map(str, words)), *commands]
        command = ran = next(filter(RUNNER.search, commands), commands[0] if commands else "")
    if RUNNER.search(ran) or repository.is_started_by_its_code(name):
        return f": `{command}`" if command else " as before."
    return f": `{_runner(repository, home)} -- {command or 'COMMAND'}`"
