"""Rewrite settings and project files for this version, and keep all comments. Pure.

`core/schema.py` lists the keys that releases renamed or removed. A renamed key gets its new
name. The lines of a removed key become a comment, so that nothing is lost. Two settings that became
one are joined.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.own_repository import list_assignments
from infisical_iac.core.schema import (
    PROJECT_FILE_SCHEMA,
    SETTINGS_SCHEMA,
    Removed,
    Renamed,
    Schema,
)

_VERSION = "schema_version"


class Upgraded(NamedTuple):
    """The new text of a file, and sentences on the changes left to do by hand."""

    text: str
    notes: tuple[str, ...] = ()


class Joined(NamedTuple):
    """Two settings that became one: `old` is appended to `into`, after the separator."""

    old: str
    into: str
    separator: str


# People who set a new version forgot the separate digest, and Docker then ran the old image.
JOINED = (Joined("infisical_digest", "infisical_version", "@"),)


class _Span(NamedTuple):
    """A part of a text, from one index to before another."""

    start: int
    end: int


@dataclass
class _Draft:
    """A text and its changes, applied from the end so that earlier positions stay valid."""

    text: str
    notes: list[str] = field(default_factory=list)
    changes: list[tuple[_Span, str]] = field(default_factory=list)

    def replace(self, span: _Span, new: str) -> None:
        if self.text[span.start : span.end] != new:
            self.changes.append((span, new))

    def comment_out(self, span: _Span, why: str) -> bool:
        """Comment out the lines of a part; return False if they have other content too."""
        begin = self.text.rfind("\n", 0, span.start) + 1
        end = self.text.find("\n", span.end)
        end = len(self.text) if end < 0 else end
        around = self.text[begin : span.start], self.text[span.end : end]
        if around[0].strip() or not re.fullmatch(r"\s*(#.*)?", around[1]):
            return False
        indent = around[0]
        lines = self.text[begin:end].split("\n")
        commented = [f"{indent}# {line.removeprefix(indent)}".rstrip() for line in lines]
        self.replace(_Span(begin, end), "\n".join([f"{indent}# {why}", *commented]))
        return True

    def result(self) -> Upgraded:
        text = self.text
        for span, new in sorted(self.changes, reverse=True):
            text = text[: span.start] + new + text[span.end :]
        return Upgraded(text, tuple(self.notes))


def upgrade_settings_text(
    text: str, schema: Schema = SETTINGS_SCHEMA, joined: Sequence[Joined] = JOINED
) -> Upgraded:
    """Return a settings file, a Python file of `group_data/`, as this version reads it.

    Raises SettingsError for a file that is not Python, or that a newer version wrote.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise SettingsError(f"it is not Python ({error}): correct it first") from None
    draft, places = _Draft(text), _Places(text)
    assigned = {
        name: (statement, value)
        for name, (statement, value) in list_assignments(tree).items()
        # A statement with several targets is left to the user.
        if not (isinstance(statement, ast.Assign) and len(statement.targets) > 1)
    }
    for moved in schema.moved:
        key, _, rest = moved.old.partition(".")
        if key not in assigned:
            continue
        if rest:
            _upgrade_entries(draft, places, assigned[key][1], rest.split("."), moved)
        elif isinstance(moved, Renamed):
            _rename(draft, places, tree, moved, taken=moved.new in assigned)
        else:
            _remove(draft, places.of(assigned[key][0]), moved)
    for each in joined:
        if each.old in assigned and each.into in assigned:
            _join(draft, places, each, assigned)
    _write_version(draft, places, tree, assigned.get(_VERSION), schema)
    return draft.result()


_Assignment = tuple[ast.stmt, ast.expr]


class _Places:
    """The spans of nodes in the text that they were parsed from."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def of(self, node: ast.stmt | ast.expr) -> _Span:
        return _Span(
            self._index(node.lineno, node.col_offset),
            self._index(node.end_lineno or node.lineno, node.end_col_offset or 0),
        )

    def _index(self, line: int, column: int) -> int:
        # Python counts columns in bytes.
        before = self._lines[line - 1].encode()[:column].decode()
        return self._starts[line - 1] + len(before)


def _rename(
    draft: _Draft, places: _Places, tree: ast.Module, moved: Renamed, *, taken: bool
) -> None:
    if taken:
        draft.notes.append(f"{moved.old} and {moved.new} are both set: remove one of them")
        return
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=moved.old):
                draft.replace(places.of(node), moved.new)
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                for each in ast.walk(value):
                    if isinstance(each, ast.Constant) and each.value == moved.old:
                        draft.replace(places.of(each), f'"{moved.new}"')


def _remove(draft: _Draft, span: _Span, moved: Removed) -> None:
    why = f"Removed in {moved.release}: {moved.instead}."
    if draft.comment_out(span, why):
        draft.notes.append(f"{moved.old} {moved}")
    else:
        draft.notes.append(f"remove {moved.old} by hand: it {moved}")


def _upgrade_entries(
    draft: _Draft,
    places: _Places,
    value: ast.expr,
    parts: Sequence[str],
    moved: Renamed | Removed,
) -> None:
    """Rename the key at a place inside a literal; for a removed key, only add a note."""
    for key, names in _keys_at(value, parts):
        if isinstance(moved, Removed):
            draft.notes.append(f"remove {moved.old} by hand: it {moved}")
        elif moved.new in names:
            draft.notes.append(f"{moved.old} and {moved.new} are both set: remove one of them")
        else:
            draft.replace(places.of(key), f'"{moved.new}"')


def _keys_at(value: ast.expr, parts: Sequence[str]) -> Iterator[tuple[ast.expr, Sequence[object]]]:
    """Yield the keys at a place inside a literal, each with all keys of its dictionary."""
    first, *rest = parts
    match value:
        case ast.Dict(keys=keys, values=values):
            names = [key.value for key in keys if isinstance(key, ast.Constant)]
            for key, inner in zip(keys, values, strict=True):
                if not isinstance(key, ast.Constant) or first not in ("*", key.value):
                    continue
                if rest:
                    yield from _keys_at(inner, rest)
                else:
                    yield key, names
        case ast.Tuple(elts=entries) | ast.List(elts=entries) if rest:
            for number, entry in enumerate(entries):
                if first in ("*", str(number)):
                    yield from _keys_at(entry, rest)


def _join(
    draft: _Draft, places: _Places, joined: Joined, assigned: Mapping[str, _Assignment]
) -> None:
    (statement, value), (_, into) = assigned[joined.old], assigned[joined.into]
    match value, into:
        case ast.Constant(value=""), _:
            return  # Nothing to join: it is the default.
        case ast.Constant(value=str(second)), ast.Constant(value=str(first)):
            if joined.separator in first:
                names = f"{joined.old} and {joined.into}"
                draft.notes.append(f"{names} both set the digest: keep only one")
            elif draft.comment_out(places.of(statement), f"Moved to {joined.into}."):
                draft.replace(places.of(into), f'"{first}{joined.separator}{second}"')
        case _:
            draft.notes.append(
                f"you can append {joined.old} to {joined.into}, after {joined.separator}"
            )


def _write_version(
    draft: _Draft,
    places: _Places,
    tree: ast.Module,
    assigned: _Assignment | None,
    schema: Schema,
) -> None:
    if assigned is None:
        # The version is in the defaults, unless this file was written for an earlier version.
        if schema.version > 1 and list_assignments(tree):
            docstring = tree.body[0] if ast.get_docstring(tree) is not None else None
            at = places.of(docstring).end if docstring else 0
            line = f"{_VERSION} = {schema.version}"
            draft.replace(_Span(at, at), f"\n\n{line}" if docstring else f"{line}\n\n")
        return
    value = assigned[1]
    if isinstance(value, ast.Constant) and type(value.value) is int:
        _refuse_newer(value.value, schema)
        draft.replace(places.of(value), str(schema.version))


def upgrade_project_text(text: str, schema: Schema = PROJECT_FILE_SCHEMA) -> Upgraded:
    """Return a project file, in YAML, as this version reads it.

    Raises SettingsError for a file that is not YAML, or that a newer version wrote.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsError(
            f"it is not YAML ({' '.join(str(error).split())}): correct it first"
        ) from None
    draft = _Draft(text)
    if not isinstance(root, yaml.MappingNode):
        return draft.result()
    for moved in schema.moved:
        for key, value, parent in _nodes_at(root, moved.old.split(".")):
            _upgrade_node(draft, key, value, parent, moved)
    version = next((value for key, value in root.value if key.value == _VERSION), None)
    if version is None:
        if schema.version > 1 and root.value:
            at = root.start_mark.index
            draft.replace(_Span(at, at), f"{_VERSION}: {schema.version}\n")
    elif isinstance(version, yaml.ScalarNode) and re.fullmatch(r"\d+", version.value):
        _refuse_newer(int(version.value), schema)
        draft.replace(_span(version), str(schema.version))
    return draft.result()


def _nodes_at(
    node: yaml.Node, parts: Sequence[str]
) -> Iterator[tuple[yaml.ScalarNode, yaml.Node, yaml.MappingNode]]:
    """Yield the keys at a place, each with its value and the mapping that it is in."""
    first, *rest = parts
    if isinstance(node, yaml.SequenceNode):
        for number, entry in enumerate(node.value):
            if rest and first in ("*", str(number)):
                yield from _nodes_at(entry, rest)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if first not in ("*", key.value):
                continue
            if rest:
                yield from _nodes_at(value, rest)
            elif isinstance(key, yaml.ScalarNode):
                yield key, value, node


def _upgrade_node(
    draft: _Draft,
    key: yaml.ScalarNode,
    value: yaml.Node,
    parent: yaml.MappingNode,
    moved: Renamed | Removed,
) -> None:
    if isinstance(moved, Renamed):
        if any(each.value == moved.new for each, _ in parent.value):
            draft.notes.append(f"{moved.old} and {moved.new} are both set: remove one of them")
        else:
            draft.replace(_span(key), moved.new)
        return
    end = _end(value)
    # A text in a block ends after its last line.
    while end > key.start_mark.index and draft.text[end - 1].isspace():
        end -= 1
    if parent.flow_style:
        draft.notes.append(f"remove {moved.old} by hand: it {moved}")
    else:
        _remove(draft, _Span(key.start_mark.index, end), moved)


def _end(node: yaml.Node) -> int:
    """Return the index after a node; a block ends after its last entry, before later comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _span(node: yaml.Node) -> _Span:
    return _Span(node.start_mark.index, node.end_mark.index)


def _refuse_newer(version: int, schema: Schema) -> None:
    if version > schema.version:
        raise SettingsError(
            f"{_VERSION} {version} was written for a newer infisical-iac: upgrade it first",
            code="settings.schema_version",
        )


def upgrade_pin(pyproject: str, name: str, version: str) -> str:
    """Return the text of a `pyproject.toml` with the pinned version of a package replaced."""
    pin = re.compile(rf"""(["']{re.escape(name)} *== *)[^"';,\s]+""")
    return pin.sub(rf"\g<1>{version}", pyproject)


def add_pin(pyproject: str, after: str, name: str, version: str) -> str:
    """Return the text of a `pyproject.toml` in which a package is pinned after another one.

    The text stays as it is if it already requires the package, or does not pin the other one.
    """
    if re.search(rf"""["']{re.escape(name)}[ =<>~!\["']""", pyproject):
        return pyproject
    pin = re.compile(rf"""(["'])({re.escape(after)} *== *[^"';,\s]+)\1""")
    return pin.sub(rf'\g<0>, "{name}=={version}"', pyproject, count=1)
