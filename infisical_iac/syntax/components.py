"""The JavaScript in a component of Vue or Svelte: scripts, and the expressions of its markup."""

import re
from collections.abc import Iterator
from typing import NamedTuple

ENDINGS = (".vue", ".svelte")

# Attributes end somewhere: without a bound, each tag that isn't closed would be read to the end.
_ATTRIBUTES = r"(?:[^<>\"']|\"[^\"]{0,300}\"|'[^']{0,300}'){0,300}+"
_OPENING = re.compile(rf"<!--|<(script|style)\b({_ATTRIBUTES})>", re.IGNORECASE)
_IS_TYPESCRIPT = re.compile(r"\blang\s*=\s*[\"']?tsx?\b")
_BRACE = re.compile(r"[{}]")
# `v-if="…"`, `:title="…"` and `@click="…"`, of which the last has statements.
_ATTRIBUTE = re.compile(
    r"(?<!\S)(?:(?P<statements>@|v-on:)|[:#]|v-)[^\s=\"'<>]*=(?P<quote>[\"'])(?P<code>[^\"']*)"
    r"(?P=quote)"
)
# What Svelte writes before an expression, such as `#if` and `:else if`, and after it.
_BEFORE = re.compile(r"\s*+(?:\.\.\.|[#:@/][a-z]*+(?:[ ]if)?)?+")
_AFTER = {"#each": " as ", "#await": " then "}
_BLANK = re.compile(r"[^\n]")


class Component(NamedTuple):
    """The code of a component; what is none of it is blank, so that lines and columns stay.

    Attributes:
        scripts: the contents of its `<script>` elements.
        markup: the expressions around them, each as a statement.
        is_typescript: whether a script says that it is written in TypeScript.
    """

    scripts: str
    markup: str
    is_typescript: bool


class _Element(NamedTuple):
    """A comment, a script or a style, and where what is in it begins and ends."""

    tag: str
    attributes: str
    start: int
    inside: int
    inside_end: int
    end: int


def code_of(text: str) -> Component:
    scripts, markup = [], []
    position = 0
    is_typescript = False
    for each in _elements(text):
        markup += [text[position : each.start], _blank(text[each.start : each.end])]
        inside = text[each.inside : each.inside_end]
        scripts += [
            _blank(text[position : each.inside]),
            inside if each.tag == "script" else _blank(inside),
            _blank(text[each.inside_end : each.end]),
        ]
        if each.tag == "script":
            is_typescript |= bool(_IS_TYPESCRIPT.search(each.attributes))
        position = each.end
    scripts.append(_blank(text[position:]))
    return Component(
        "".join(scripts), _expressions("".join([*markup, text[position:]])), is_typescript
    )


def _elements(text: str) -> Iterator[_Element]:
    position = 0
    lower = text.lower()
    while opening := _OPENING.search(text, position):
        tag = (opening[1] or "").lower()
        closing = f"</{tag}" if tag else "-->"
        end = lower.find(closing, opening.end())
        inside_end = end if end >= 0 else len(text)
        position = min(len(text), inside_end + len(closing))
        yield _Element(tag, opening[2] or "", opening.start(), opening.end(), inside_end, position)


def _blank(text: str) -> str:
    return _BLANK.sub(" ", text)


def _expressions(markup: str) -> str:
    """Return the markup with all but its expressions blank."""
    code = list(_blank(markup))
    for found in _ATTRIBUTE.finditer(markup):
        start, end = found.span("code")
        code[start:end] = markup[start:end]
        code[start - 2 : start] = ";;" if found["statements"] else ";("
        code[end] = ";" if found["statements"] else ")"
    for start, end in _braced(markup):
        code[start : end + 1] = _statement(markup[start : end + 1])
    return "".join(code)


def _braced(markup: str) -> Iterator[tuple[int, int]]:
    """Yield where the outermost braces open and close; what isn't closed is left out."""
    depth = start = 0
    for brace in _BRACE.finditer(markup):
        if brace[0] == "{":
            start = start if depth else brace.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                yield start, brace.start()


def _statement(braced: str) -> str:
    if braced.startswith("{{") and braced.endswith("}}") and len(braced) > 3:
        return f";({braced[2:-2]});"
    inside = braced[1:-1]
    before = _BEFORE.match(inside)
    begin = before.end() if before else 0
    after = _AFTER.get(inside[:begin].strip(), "")
    end = inside.rfind(after) if after else -1
    end = end if end >= begin else len(inside)
    return f";{_blank(inside[:begin])}{inside[begin:end]}{_blank(inside[end:])};"
