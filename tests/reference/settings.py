"""The reference of settings, from their definitions and their defaults."""

import inspect
import json
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from infisical_iac.core.settings import SECTION_OF, Settings
from infisical_iac.core.validation import SettingsModel
from tests.reference.docstrings import read_docstrings
from tests.reference.environment import GIVEN, VARIABLES, InventoryVariable, read_inventory

_INTRODUCTION = """\
# Settings

<!-- `make docs` writes this file from the definitions of the settings: edit those. -->

Write what differs from the defaults into `group_data/hetzner.py`, as Python:

    site_url = "https://secrets.example.com"
    ssh_networks = ("203.0.113.0/24",)  # one entry in a tuple needs its comma

`infisical-iac plan` then shows what a changed setting does, and `apply` does it. An unknown name is
refused with the closest known one, a value that can't work with the reason; nothing is changed
then. pyinfra takes a setting for one run: `--data apt_timeout=600`.
"""
# pyinfra's SSH connector reads these itself: only their defaults are this project's.
_CONNECTOR = {
    "ssh_connect_retries": "Number of further attempts after a connection that failed.",
    "ssh_connect_retry_min_delay": "Shortest pause before a further attempt, in seconds; its "
    "length is random.",
    "ssh_connect_retry_max_delay": "Longest pause before a further attempt, in seconds.",
}
_TYPES = {str: "text", int: "whole number", float: "number", bool: "`True` or `False`"}
_CHANGE = "Change: "
_CONNECTION_CHANGE = "- Change: counts from the next command on.\n"


def write(defaults: Mapping[str, Any] | None = None) -> str:
    """Return the text of the page.

    Args:
        defaults: the value of each setting; None for those of `group_data/all.py`.
    """
    if defaults is None:
        defaults = read_defaults()
    inventory = read_inventory()
    variables = {each.key: each.name for each in inventory}
    return "\n".join(
        [
            _INTRODUCTION,
            *_index(),
            *_general(defaults),
            *(line for name in _sections() for line in _section(name, defaults, variables)),
            *_connection(inventory, defaults),
            *_environment(inventory),
        ]
    )


def read_defaults() -> dict[str, Any]:
    """Return the values of `group_data/all.py`."""
    found = runpy.run_path("group_data/all.py")
    return {name: value for name, value in found.items() if not name.startswith("__")}


def _sections() -> dict[str, type[SettingsModel]]:
    fields = Settings.model_fields
    names = (
        *("workspace", "stack", "instance", "host", "backup", "monitoring", "hetzner", "cluster"),
    )
    assert {*names} == {*SECTION_OF.values()}
    return {name: fields[name].annotation for name in names}  # type: ignore[misc]


def _title(name: str, section: type[SettingsModel]) -> str:
    first = _documentation(section).partition("\n")[0].removesuffix(".")
    return f"{name.capitalize()}: {first[0].lower()}{first[1:]}"


def _documentation(of: type) -> str:
    return inspect.cleandoc(of.__doc__ or "")


def _anchor(title: str) -> str:
    return "".join(
        each for each in title.lower().replace(" ", "-") if each.isalnum() or each in "-_"
    )


def _index() -> Iterator[str]:
    yield "- [General](#general): [`schema_version`](#schema_version)"
    for name, section in _sections().items():
        title = _title(name, section)
        links = ", ".join(f"[`{key}`](#{key})" for key in section.model_fields)
        yield f"- [{title}](#{_anchor(title)}): {links}"
    of_inventory = (each.key for each in read_inventory() if each.key not in SECTION_OF)
    links = ", ".join(f"[`{key}`](#{key})" for key in (*of_inventory, *_CONNECTOR))
    yield f"- [Connection](#connection): {links}"
    yield "- [Environment variables](#environment-variables)"
    yield ""


def _general(defaults: Mapping[str, Any]) -> Iterator[str]:
    yield "## General\n"
    name = "schema_version"
    text, change = split_docstring(Settings, name)
    yield from _setting(name, Settings.model_fields[name], text, change, defaults[name], "")


def _section(name: str, defaults: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[str]:
    section = _sections()[name]
    yield f"## {_title(name, section)}\n"
    if introduction := _documentation(section).partition("\n\n")[2]:
        yield f"{introduction}\n"
    for key, field in section.model_fields.items():
        text, change = split_docstring(section, key)
        yield from _setting(key, field, text, change, defaults[key], variables.get(key, ""))


def split_docstring(section: type, key: str) -> tuple[str, str]:
    """Return the description of a setting and the effect of a change; KeyError without either."""
    text = read_docstrings(section).get(key, "")
    paragraphs = text.split("\n\n")
    if not text or not paragraphs[-1].startswith(_CHANGE):
        raise KeyError(
            f"{key} needs a docstring in {section.__module__} with a last paragraph that begins "
            f"with {_CHANGE.strip()!r}"
        )
    return "\n\n".join(paragraphs[:-1]), paragraphs[-1].removeprefix(_CHANGE)


def _setting(
    key: str, field: FieldInfo, text: str, change: str, default: Any, variable: str
) -> Iterator[str]:
    yield f"### `{key}`\n"
    yield f"{text}\n"
    yield f"- Type: {describe_type(field.annotation)}"
    yield f"- Default: `{literal(default)}`"
    if accepts := _accepts(field):
        yield f"- Accepts: {accepts}"
    if variable:
        yield f"- Environment: `{variable}` wins"
    yield f"- Change: {' '.join(change.split())}\n"
    if entry := _entry(field.annotation):
        yield from _entry_table(entry)


def _entry_table(entry: type[SettingsModel]) -> Iterator[str]:
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in entry.model_fields.items():
        default = "required" if field.is_required() else f"`{literal(field.default)}`"
        meaning = " ".join(read_docstrings(entry)[key].split())
        yield f"| `{key}` | {describe_type(field.annotation)} | {default} | {meaning} |"
    yield ""


def _accepts(field: FieldInfo) -> str:
    found = (getattr(each, "accepts", "") for each in _metadata(field))
    return "; ".join(filter(None, found))


def _metadata(field: FieldInfo) -> Iterator[Any]:
    yield from field.metadata
    for each in get_args(field.annotation):
        yield from getattr(each, "__metadata__", ())


def describe_type(annotation: Any) -> str:
    """Return a type in the words of the reference."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        *some, last = (f"`{literal(each)}`" for each in arguments)
        return f"{', '.join(some)} or {last}"
    if NoneType in arguments:
        (some,) = (each for each in arguments if each is not NoneType)
        return f"{describe_type(some)} or `None`"
    if origin is dict:
        return "dictionary of texts"
    if origin is tuple:
        inner = "dictionaries" if _entry(annotation) else "texts"
        return f"tuple of {inner}"
    if isinstance(annotation, type) and issubclass(annotation, SettingsModel):
        return "dictionary"
    return _TYPES[annotation]


def _entry(annotation: Any) -> type[SettingsModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, SettingsModel):
        return annotation
    return next(filter(None, map(_entry, get_args(annotation))), None)


def literal(value: Any) -> str:
    """Return a value as Python has it, with the quotes that this project uses."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        inner = ", ".join(map(literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{literal(key)}: {literal(each)}' for key, each in value.items())}}}"
    return repr(value)


def _connection(inventory: list[InventoryVariable], defaults: Mapping[str, Any]) -> Iterator[str]:
    yield "## Connection\n"
    yield (
        "`inventory/hetzner.py` reads these from `group_data/hetzner.py`. A variable of the "
        "environment wins over its setting.\n"
    )
    for each in inventory:
        if each.key not in SECTION_OF:
            yield f"### `{each.key}`\n"
            yield f"{each.meaning}\n"
            yield f"- Environment: `{each.name}` wins"
            yield _CONNECTION_CHANGE
    for key, meaning in _CONNECTOR.items():
        yield f"### `{key}`\n"
        yield f"{meaning}\n"
        yield f"- Type: {_TYPES[type(defaults[key])]}"
        yield f"- Default: `{literal(defaults[key])}`"
        yield _CONNECTION_CHANGE


def _environment(inventory: list[InventoryVariable]) -> Iterator[str]:
    yield "## Environment variables\n"
    yield (
        "Those that services start with are on the page of the [loaders](../develop/loaders.md).\n"
    )
    yield "| variable | meaning |"
    yield "|---|---|"
    for each in inventory:
        yield f"| `{each.name}` | {each.meaning} Wins over [`{each.key}`](#{each.key}). |"
    for name, meaning in (VARIABLES | GIVEN).items():
        yield f"| `{name}` | {meaning} |"
    yield ""


PATH = Path("docs/reference/settings.md")
