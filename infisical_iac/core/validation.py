"""Plain sentences for values that pydantic refuses, each with the right text to write."""

from collections.abc import Mapping
from typing import Any

_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least"),
    "greater_than": ("gt", "must be above"),
    "less_than_equal": ("le", "must be at most"),
    "less_than": ("lt", "must be below"),
}
_MOST_CHARACTERS = 60


def explain(problem: Mapping[str, Any]) -> str:
    """Return what is wrong with a value of Python, and what to write.

    Args:
        problem: one of `ValidationError.errors()`. The value is shown: it must be no secret.
    """
    kind, value = str(problem["type"]), problem.get("input")
    shown = repr(value)
    if len(shown) > _MOST_CHARACTERS:
        shown = f"{shown[:_MOST_CHARACTERS]}…"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{shown} {words} {problem['ctx'][name]}"
    kind, _, _ = kind.partition("_")
    match kind:
        case "value" | "assertion":
            return str(problem["msg"]).partition(", ")[2]
        case "missing":
            return "is missing; group_data/all.py shows what it may be"
        case "extra":
            return "is unknown; group_data/all.py lists what there is"
        case "tuple" | "list" | "set":
            return f"{shown} is no tuple; write {_in_tuple(value)}"
        case "string":
            return f"{shown} is no text; write it in quotes{_in_quotes(value)}"
        case "int":
            return f"{shown} is no whole number; write one such as 10"
        case "float" | "finite":
            return f"{shown} is no number; write one such as 0.5"
        case "bool":
            return f"{shown} is neither; write True or False"
        case "literal":
            return f"{shown} is none of them; write {problem['ctx']['expected']}"
        case "dict" | "model" | "mapping":
            return f"{shown} is no dictionary; group_data/all.py shows one"
        case _:
            return f"{shown} can't stand here: {problem['msg']}"


def _in_tuple(value: Any) -> str:
    if isinstance(value, str | int | float | dict) and not isinstance(value, bool):
        return f"({value!r},), with the comma"
    return 'one such as ("one", "other"), a single one as ("one",)'


def _in_quotes(value: Any) -> str:
    return f": '{value}'" if isinstance(value, int | float) else ""
