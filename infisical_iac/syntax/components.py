"""Extract the JavaScript of a Vue or Svelte component: scripts, and expressions in the markup."""

import re
from collections.abc import Iterator
from typing import NamedTuple

ENDINGS = (".vue", ".svelte")

# The bounds keep an unclosed tag from being read to the end of the file.
_ATTRIBUTES = r"(?:[^<>\"']|\"[^\"]{0,300}\"|'[^']{0,300}'){0,300}+"
_OPENING = re.compile(rf"<!--|<(script|style)\b({_ATTRIBUTES})>", re.IGNORECASE)
_IS_TYPESCRIPT = re.compile(r"\blang\s*=\s*[\"']?tsx?\b")
_BRACE = re.compile(r"[{}]")
# `v-if="…"` and `:title="…"` have expressions, `@click="…"` has statements.
_ATTRIBUTE = re.compile(
    r"(?<!\S)(?:(?P<statements>@|v-on:)|[:#]|v-)[^\s=\"'<>]*=(?P<quote>[\"'])(?P<code>[^\"']*)"
    r"(?P=quote)"
)
# Svelte's words before an expression, such as `#if` and `:else if`, and after it.
_BEFORE = re.compile(r"\s*+(?:\.\.\.|[#:@/][a-z]*+(?:[ ]if)?)?+")
_AFTER = {"#each": " as ", "#await": " then "}
_BLANK = re.compile(r"[^\n]")


class Component(NamedTuple):
    """The code of a component; all else is blank, so that lines and columns stay.

    Attributes:
        scripts: the contents of its `<script>` elements.
        markup: the expressions around them, each as a statement.
        is_typescript: whether a script says that it is written in TypeScript.
    """

    scripts: str
    markup: str
    is_typescript: bool


def code_of(text: str) -> Component:
    scripts, markup = [], []
    position, lower = 0, text.lower()
    is_typescript = False
    while opening := _OPENING.search(text, position):  # a comment, a script or a style
        tag = (opening[1] or "").lower()
        closing = f"</{tag}" if tag else "-->"
        found = lower.find(closing, opening.end())
        inside_end = found if found >= 0 else len(text)
        end = min(len(text), inside_end + len(closing))
        inside = text[opening.end() : inside_end]
        markup += [text[position : opening.start()], _blank(text[opening.start() : end])]
        scripts += [
            _blank(text[position : opening.end()]),
            inside if tag == "script" else _blank(inside),
            _blank(text[inside_end:end]),
        ]
        is_typescript |= tag == "script" and bool(_IS_TYPESCRIPT.search(opening[2]))
        position = end
    scripts.append(_blank(text[position:]))
    expressions = _expressions("".join([*markup, text[position:]]))
    return Component("".join(scripts), expressions, is_typescript)


def _blank(text: str) -> str:
    return _BLANK.sub(" ", text)


def _expressions(markup: str) -> str:
    """Return the markup with everything but its expressions blank."""
    code = list(_blank(markup))
    for found in _ATTRIBUTE.finditer(markup):
        start, end = found.span("code")
        code[start:end] = markup[start:end]
        code[start - 2 : start] = ";;" if found["statements"] else ";("
        code[end] = ";" if found["statements"] else ")"
    for start, end in _find_braces(markup):
        code[start : end + 1] = _to_statement(markup[start : end + 1])
    return "".join(code)


def _find_braces(markup: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of the outermost pairs of braces; unclosed braces are left out."""
    depth = start = 0
    for brace in _BRACE.finditer(markup):
        if brace[0] == "{":
            start = start if depth else brace.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                yield start, brace.start()


def _to_statement(braced: str) -> str:
    if braced.startswith("{{") and braced.endswith("}}") and len(braced) > 3:
        return f";({braced[2:-2]});"
    inside = braced[1:-1]
    before = _BEFORE.match(inside)
    begin = before.end() if before else 0
    after = _AFTER.get(inside[:begin].strip(), "")
    end = inside.rfind(after) if after else -1
    end = end if end >= begin else len(inside)
    return f";{_blank(inside[:begin])}{inside[begin:end]}{_blank(inside[end:])};"
