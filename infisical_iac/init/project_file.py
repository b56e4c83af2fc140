"""Add services, environments, people and jobs to the text of a project file, and keep the rest.

An entry gets lines of its own, after the last one of its kind. All other lines stay as they are,
byte for byte. Only entries in braces or brackets are rewritten, by ruamel.yaml, which keeps
comments and the order of keys.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import yaml
from ruamel.yaml import YAML

from infisical_iac.core.errors import FileError, SettingsError
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Environment, Workspace

_STEP = 2


def add_service(text: str, name: str, folder: str) -> str:
    """Return the text with a service, which imports the folder `/shared` if there is one.

    Raises SettingsError if the file has the service or the folder, and FileError if the text can't
    be read.
    """
    declared = load(text)
    if name in declared.services:
        raise _refuse_known(f"the service {name!r}", "choose another name")
    for other, service in declared.services.items():
        if service.folder == folder:
            raise _refuse_known(f"{folder}, as the folder of {other!r},", "choose another name")
    entry: dict[str, Any] = {"folder": folder}
    if "/shared" in declared.shared_folders:
        entry["imports"] = ["/shared"]
    return _add(text, "services", {name: entry})


def add_environment(text: str, environment: Environment) -> str:
    """Return the text with an environment after all others. Raises as `add_service` does."""
    for each in load(text).environments:
        if each.slug == environment.slug or each.name == environment.name:
            what = f"the environment {each.slug!r}, {each.name},"
            raise _refuse_known(what, "choose another one")
    return _add(text, "environments", [{"slug": environment.slug, "name": environment.name}])


def add_person(text: str, email: str, role: str) -> str:
    """Return the text with a person's role in the whole project. Raises as `add_service` does."""
    if email in load(text).people:
        raise _refuse_known(email, "change the role there")
    return _add(text, "people", {email: role})


def add_jobs(text: str, jobs: Mapping[str, Mapping[str, Any]], folder: str) -> str:
    """Return the text with the jobs that it lacks, and the shared folder that they read.

    Args:
        folder: empty for none.

    Raises FileError if the text can't be read.
    """
    declared = load(text)
    if folder and folder not in declared.folders:
        text = _add(text, "shared_folders", [folder])
    lacking = {name: job for name, job in jobs.items() if name not in declared.ci}
    return _add(text, "ci", lacking) if lacking else text


def flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{scalar(key)}: {flow(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    return "true" if value is True else scalar(str(value))


def scalar(text: str) -> str:
    """Return a text as a scalar of YAML, in quotes where it needs them."""
    is_plain = re.fullmatch(r"[A-Za-z0-9/][A-Za-z0-9 ._@+/-]*", text)
    if is_plain and yaml.safe_load(text) == text:
        return text
    quoted: str = yaml.safe_dump(
        text, default_style='"', allow_unicode=True, width=10**6
    ).removesuffix("\n")
    return quoted


def _refuse_known(what: str, remedy: str) -> SettingsError:
    return SettingsError(
        f"the project file has {what} already: {remedy}", code="settings.in_project_file"
    )


def _add(text: str, key: str, entry: dict[str, Any] | list[Any]) -> str:
    """Return the text with an entry under a key of the top level.

    Raises FileError if the result would not be exactly the old content and the entry.
    """
    before = yaml.safe_load(text)
    old: Any = before.get(key) or type(entry)()
    desired = {**before, key: {**old, **entry} if isinstance(entry, dict) else [*old, *entry]}
    is_crlf = "\r\n" in text
    plain = text.replace("\r\n", "\n")
    for way in (_insert, _round_trip):
        added = way(plain, key, entry)
        if added is not None and _is_same(added, desired):
            return added.replace("\n", "\r\n") if is_crlf else added
    raise FileError(
        f"nothing can be added to {key} of the project file as it is written: add it by hand",
        code="file.project",
    )


def _is_same(text: str, desired: object) -> bool:
    try:
        return bool(yaml.safe_load(text) == desired) and isinstance(load(text), Workspace)
    except (yaml.YAMLError, FileError):
        return False


def _insert(text: str, key: str, entry: dict[str, Any] | list[Any]) -> str | None:
    """Return the text with lines for the entry; None if the entries are in braces or brackets."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    lines = _lines(text)
    node = next((value for name, value in root.value if name.value == key), None)
    if node is None:
        at = _end_of_example(lines, key)
        lines[at:at] = [*([""] if at == len(lines) else []), f"{key}:", *_render(entry, _STEP)]
    elif not node.value:
        first = node.start_mark.line
        rest = text[node.end_mark.index :].partition("\n")[0]
        lines[first] = f"{lines[first][: node.start_mark.column].rstrip()}{rest.rstrip()}"
        lines[first + 1 : first + 1] = _render(entry, _STEP)
    elif isinstance(node, yaml.CollectionNode) and not node.flow_style:
        begins = [_first_of(each).start_mark for each in node.value]
        column = node.start_mark.column
        step = _step(node, column)
        at = _end_of_entries(lines, _last_line(node) + 1, column)
        has_gaps = len(begins) > 1 and not lines[begins[-1].line - 1].strip()
        lines[at:at] = [*([""] if has_gaps else []), *_render(entry, column, step)]
    else:
        return None
    return "\n".join(lines) + "\n"


def _lines(text: str) -> list[str]:
    # `splitlines` would split at characters that end no line of YAML.
    return text.removesuffix("\n").split("\n")


def _first_of(each: Any) -> yaml.Node:
    node: yaml.Node = each[0] if isinstance(each, tuple) else each
    return node


def _step(node: yaml.CollectionNode, column: int) -> int:
    """Return the indentation of the last entry's keys relative to the entry."""
    last = node.value[-1]
    value = last[1] if isinstance(last, tuple) else last
    is_block = isinstance(value, yaml.MappingNode) and not value.flow_style
    return max(1, value.start_mark.column - column) if is_block else _STEP


def _last_line(node: yaml.Node) -> int:
    """Return the number of the last line of a value, from 0, without what follows it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        if isinstance(last, tuple):
            key, value = last
            return max(int(key.end_mark.line), _last_line(value))
        return _last_line(last)
    line: int = node.end_mark.line
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return line - 1
    # A missing value has the position of the next one.
    is_left_out = node.start_mark.index == node.end_mark.index
    return int(node.start_mark.line) if is_left_out else line


def _end_of_entries(lines: Sequence[str], at: int, column: int) -> int:
    """Return the line to insert at: after comments indented at least as far as the entries."""
    end = at
    for number, line in enumerate(lines[at:], start=at):
        depth = len(line) - len(line.lstrip())
        if line.strip() and not (line.lstrip().startswith("#") and depth >= max(column, 1)):
            break
        if line.strip():
            end = number + 1
    return end


def _end_of_example(lines: Sequence[str], key: str) -> int:
    """Return the line to insert a missing key at: below its commented example, or at the end."""
    start = next((n for n, line in enumerate(lines) if re.match(rf"# ?{key}:", line)), len(lines))
    return next((n for n in range(start, len(lines)) if not lines[n].startswith("#")), len(lines))


def _render(entry: dict[str, Any] | list[Any], column: int, step: int = _STEP) -> Iterable[str]:
    indent, deeper = " " * column, " " * (column + step)
    if isinstance(entry, list):
        for each in entry:
            dash = f"{indent}{'-':{step}}"
            if isinstance(each, str):
                yield f"{dash}{scalar(each)}"
                continue
            for name, value in each.items():
                yield f"{dash}{name}: {flow(value)}"
                dash = deeper
        return
    for name, value in entry.items():
        if isinstance(value, dict):
            yield f"{indent}{scalar(name)}:"
            yield from (f"{deeper}{inner}: {flow(each)}" for inner, each in value.items())
        else:
            yield f"{indent}{scalar(name)}: {flow(value)}"


def _round_trip(text: str, key: str, entry: dict[str, Any] | list[Any]) -> str:
    """Return the text with the entry, written by ruamel.yaml; other lines stay unchanged."""

    def write(change: Callable[[Any], None]) -> list[str]:
        document = YAML()
        document.preserve_quotes = True
        document.width = 10**6
        document.indent(mapping=2, sequence=4, offset=2)
        data = document.load(text)
        change(data)
        written = io.StringIO()
        document.dump(data, written)
        return _lines(written.getvalue())

    def add(data: Any) -> None:
        if isinstance(entry, dict):
            data[key].update(entry)
        else:
            data[key].extend(entry)

    lines, same, added = _lines(text), write(lambda _: None), write(add)
    if len(same) != len(lines):
        return "\n".join(added) + "\n"
    kept = []
    changes = SequenceMatcher(None, same, added, autojunk=False).get_opcodes()
    for what, first, last, start, end in changes:
        kept += lines[first:last] if what == "equal" else added[start:end]
    return "\n".join(kept) + "\n"
