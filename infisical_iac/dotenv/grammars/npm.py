"""The grammars of npm dotenv (16, 17, 18), with dotenv-expand (12) or without, and of Next.js."""

import re
from collections.abc import Mapping
from typing import ClassVar

from infisical_iac.dotenv.grammar import FILE, NODE, Cascade, Command, Grammar, Package
from infisical_iac.dotenv.text import (
    ENDS,
    SPACES,
    TRIMMED,
    Entry,
    FileRefused,
    Finding,
    Quote,
    Text,
    after,
    as_object,
    note_cut_at_hash,
    note_undefined,
    replace_first,
    with_values,
)

_SPACE, _INNER = f"[{SPACES}]", f"(?:(?![{ENDS}])[{SPACES}])"

_UP_TO_STATEMENT = re.compile(f"(?:{_SPACE}*+#[^{ENDS}]*+)*+{_SPACE}*+")
_NAME = re.compile(
    rf"(?:export{_SPACE}++(?=[\w.-]))?+([\w.-]++)(?:{_SPACE}*+=|:{_SPACE})", re.ASCII
)
_SPACING = re.compile(f"{_SPACE}*+")
_PLAIN = re.compile(r"[^#\n]*+")
_REST_OF_LINE = re.compile(f"[^{ENDS}]*+")
_LINE_END = re.compile(f"[{ENDS}]")
# After a value: white space over lines, up to a comment, the end, or the last line end.
_TAIL = re.compile(rf"{_SPACE}*+(?:#[^{ENDS}]*+|\Z)|{_SPACE}*(?=[{ENDS}])")

_CLOSING = {quote: re.compile(rf"(?<!\\){quote}") for quote in "'\"`"}
_LAST_ESCAPED = {
    quote: re.compile(rf".*\\{quote}(?={_INNER}*+(?:[{ENDS}#]|\Z))", re.DOTALL) for quote in "'\"`"
}
_OPENING_A_LINE = re.compile(rf"(?:\A|(?<=[{ENDS}]))['\"`]")
_CLOSING_A_LINE = re.compile(rf"['\"`](?=[{ENDS}]|\Z)")

# References in dotenv-expand, and the operator in one.
_EXPANDED = re.compile(r"\$(?<!\\\$)(?:\{([^{}]+)\}|([A-Za-z_][A-Za-z0-9_]*))")
_OPERATOR = re.compile(r":?[+-]")
# References in Next.js, from the last one to the first.
_UP_TO_LAST_DOLLAR = re.compile(r"(?s:.*)(?<!\\)(?=\$)")
_OF_NEXT = re.compile(r"\$\{?(\w+)(?::-([^}\\]*))?\}?", re.ASCII)

_LITERAL = r"write \$ for it"
# Next.js recurses for each reference until the stack overflows, then ignores the whole file.
_DEEPEST = 9_000

# The files of Next.js and react-scripts, and of Vite and dotenv-flow.
_MODE_FIRST = (".env", ".env.{mode}", ".env.local", ".env.{mode}.local")
_LOCAL_FIRST = (".env", ".env.local", ".env.{mode}", ".env.{mode}.local")
_OF_NODE_ENV = ("development", "production", "test")
_VITE = "which reads it with Node's own parser, then replaces references"


class _Npm(Grammar):
    """The parser and order of npm dotenv, for all grammars here."""

    def parse(self, text: Text, environ: Mapping[str, str]) -> list[Entry]:
        return _assignments(text)

    def order(self, values: dict[str, str]) -> dict[str, str]:
        return as_object(values)


class Dotenv(_Npm):
    """The grammar of npm dotenv by itself, which replaces no references."""

    name = "dotenv"
    place = 0
    packages: ClassVar = {
        NODE: (
            Package("@nestjs/config", rank=2, brings=("dotenv",)),
            Package("dotenv-flow", rank=2, cascade="dotenv-flow", brings=("dotenv",)),
            Package("dotenv-safe", rank=2, brings=("dotenv",)),
            Package("dotenv", rank=2),
            Package("env-cmd", rank=2, exact=False),
        )
    }
    mentions = (r"(?<![\w-])dotenv[/.]config\b", r"(?<=[\"'])dotenv(?=[\"'])")
    cascades: ClassVar = {
        "dotenv-flow": Cascade("dotenv-flow", (".env.defaults", *_LOCAL_FIRST), "as-written"),
    }


class DotenvExpand(_Npm):
    """The grammar of npm dotenv followed by dotenv-expand."""

    name = "dotenv-expand"
    place = 1
    packages: ClassVar = {
        NODE: (
            Package("dotenv-expand", rank=1, brings=("dotenv",)),
            Package("dotenv-cli", rank=1),
            Package("nuxt", rank=1, exact=False),  # has Vite, but reads only .env by itself
            # These packages read through Vite's loadEnv, which uses Node's parser since Vite 8, and
            # npm dotenv before. astro's release decides which, SvelteKit's does not.
            Package("vite", rank=1, cascade="vite-8", remark=_VITE, earlier=(7, "vite")),
            Package("astro", rank=1, cascade="vite-8", remark=_VITE, earlier=(6, "vite")),
            Package("@sveltejs/kit", rank=1, cascade="vite-8", remark=_VITE),
            # react-scripts brings dotenv 10 and dotenv-expand 5, which read differently.
            Package("react-scripts", rank=1, exact=False, cascade="react-scripts"),
            Package("@dotenvx/dotenvx", rank=3, exact=False),
        )
    }
    commands = (
        Command(
            re.compile(rf"\bdotenv\s+(?:[^\n|&;]*?\s)?-e[= ]+{FILE}"),
            "gives it to dotenv-cli",
            rank=3,
        ),
    )
    mentions = (r"(?<=[\"'])dotenv-(?:expand|cli)(?=[\"'])",)
    cascades: ClassVar = {
        "react-scripts": Cascade("react-scripts", _MODE_FIRST, "in-turn", _OF_NODE_ENV),
        "vite": Cascade("Vite", _LOCAL_FIRST, "together"),
        "vite-8": Cascade("Vite", _LOCAL_FIRST, "together", parser="node-env-file"),
        "vite-8-node-22": Cascade("Vite", _LOCAL_FIRST, "together", parser="node-env-file-22"),
    }

    def parse(self, text: Text, environ: Mapping[str, str]) -> list[Entry]:
        entries = _assignments(text)
        lines = {entry.key: entry.first_line for entry in entries}
        expansion = _Expansion(text, environ, {})
        written = {entry.key: entry.written for entry in entries}
        for key, value in self.order(written).items():
            expansion.add(key, value, lines[key])
        return with_values(entries, expansion.values)

    def expand(self, text: Text, key: str, value: str, line: int, values: dict[str, str]) -> None:
        _Expansion(text, {}, values).add(key, value, line)


class Next(_Npm):
    """The grammar of Next.js, which replaces references by its own rules."""

    name = "next"
    place = 2
    packages: ClassVar = {
        NODE: (
            Package("next", cascade="next", brings=("@next/env",)),
            Package("@next/env", cascade="next"),
        )
    }
    mentions = (r"\bloadEnvConfig\b",)
    cascades: ClassVar = {
        "next": Cascade("Next.js", _MODE_FIRST, "in-turn", _OF_NODE_ENV),
    }

    def parse(self, text: Text, environ: Mapping[str, str]) -> list[Entry]:
        entries = _assignments(text)
        lines = {entry.key: entry.first_line for entry in entries}
        values = self.order({entry.key: entry.written for entry in entries})
        for key, value in values.items():
            ours = environ.get(key, value)
            expanded = _expand_by_next(text, key, ours, lines[key], environ, values)
            values[key] = expanded.replace("\\$", "$")
        return with_values(entries, values)


def _assignments(text: Text) -> list[Entry]:
    """Return the assignments of a file; other lines are ignored."""
    entries: list[Entry] = []
    position = 0
    while True:
        start = after(_UP_TO_STATEMENT, text.text, position)
        if start == len(text.text):
            return entries
        name = _NAME.match(text.text, start)
        if not name or name[1] == "__proto__":
            message = "dotenv can't read this line, and silently ignores it."
            text.note(start, "unreadable-line", message, "Correct or delete the line.")
        if not name:
            line_end = _LINE_END.search(text.text, start)
            position = line_end.end() if line_end else len(text.text)
            continue
        end = _end_of_quoted(text.text, name.end()) or _end_of_plain(text, name)
        if name[1] != "__proto__":
            entries.append(_entry(text, name, end))
        position = after(_TAIL, text.text, end)


def _end_of_quoted(text: str, position: int) -> int | None:
    """Return the end of a quoted value; only a comment may follow it on its line."""
    opening = after(_SPACING, text, position)
    quote = text[opening : opening + 1]
    if quote not in _CLOSING:
        return None
    closing = _CLOSING[quote].search(text, opening + 1)
    if closing and _TAIL.match(text, closing.end()):
        return closing.end()
    # A quote after a backslash closes the value too if no other quote does.
    last = closing.end() if closing else len(text)
    escaped = _LAST_ESCAPED[quote].match(text, opening + 1, last)
    return escaped.end() if escaped else None


def _end_of_plain(text: Text, name: re.Match[str]) -> int:
    end = after(_PLAIN, text.text, name.end())
    value = text.text[name.end() : end].strip(TRIMMED)
    if text.text[end : end + 1] == "#" and text.text[end - 1] not in TRIMMED:
        rest = text.text[name.end() : after(_REST_OF_LINE, text.text, end)]
        note_cut_at_hash(text, name.start(), name[1], len(value), rest)
    if value[:1] in _CLOSING and not _find_quote(value):
        message = (
            "The value's quote is not closed, or more text follows it: the quote is a part of the "
            "value."
        )
        text.note(name.start(), "unclosed-quote", message, "Correct the quotes.", name[1])
    return end


def _entry(text: Text, name: re.Match[str], end: int) -> Entry:
    value = text.text[name.end() : end].strip(TRIMMED)
    double = value.startswith('"')
    quote = _find_quote(value)
    value = value[1:-1] if quote else _unquote_lines(value)
    if double:
        value = value.replace("\\n", "\n").replace("\\r", "\r")
    return text.entry(name[1], value, name.start(), end, quote)


def _unquote_lines(value: str) -> str:
    """Return an unquoted value without the quotes around lines in it.

    dotenv's pattern takes the line and paragraph separators of Unicode for line ends.
    """
    last = {match[0]: match.start() for match in _CLOSING_A_LINE.finditer(value)}
    parts, position = [], 0
    while opening := _OPENING_A_LINE.search(value, position):
        closing = last.get(opening[0], 0)
        is_closed = closing > opening.start()
        parts.append(value[position : opening.start() if is_closed else opening.end()])
        parts.append(value[opening.end() : closing] if is_closed else "")
        position = closing + 1 if is_closed else opening.end()
    return "".join([*parts, value[position:]])


def _find_quote(value: str) -> Quote:
    for quote in ("'", '"', "`"):
        if len(value) > 1 and value[0] == value[-1] == quote:
            return quote
    return ""


class _Expansion:
    """The replacement of references in values, one value after the other.

    Args:
        values: the values that references see besides the environment's; results are added.
    """

    def __init__(self, text: Text, environ: Mapping[str, str], values: dict[str, str]) -> None:
        self.values = values
        self._text, self._environ = text, environ

    def add(self, key: str, value: str, line: int) -> None:
        """Add the value of a key with its references replaced.

        Args:
            line: the line of the value in the text.

        Raises FileRefused if that takes too much work.
        """
        ours = self._environ.get(key) or value
        # A value in the environment wins, and stays as it is.
        value = self._expand(key, value, line) if ours == value else ours
        self.values[key] = value.replace("\\$", "$")

    def _expand(self, key: str, value: str, line: int) -> str:
        seen = set()
        undefined = 0
        while match := _EXPANDED.search(value):
            seen.add(value)
            name, found, default = self._split_default(match[1] or match[2])
            undefined += not found and default is None
            if not found or found in seen:
                found = default or ""
            value = replace_first(value, match[0], found)
            self._text.count_replacement(value, line)
            if value == self.values.get(name):
                break
        note_undefined(self._text, line, key, undefined, _LITERAL)
        return value

    def _split_default(self, expression: str) -> tuple[str, str, str | None]:
        """Return the name, its value, and the default."""
        operator = _OPERATOR.search(expression)
        if not operator:
            # dotenv-expand splits the name at the operator, which is JavaScript's null here.
            name, null, default = expression.partition("null")
            return name, self._look_up(name), default if null else None
        name, default = expression[: operator.start()], expression[operator.end() :]
        if operator[0].endswith("+"):
            return name, "", default if self._look_up(name) else ""
        return name, self._look_up(name), default

    def _look_up(self, name: str) -> str:
        return self._environ.get(name, self.values.get(name, ""))


def _expand_by_next(
    text: Text,
    key: str,
    value: str,
    line: int,
    environ: Mapping[str, str],
    values: Mapping[str, str],
) -> str:
    undefined = 0
    for _ in range(_DEEPEST):
        last = _UP_TO_LAST_DOLLAR.match(value)
        reference = last and _OF_NEXT.match(value, last.end())
        if not reference:
            note_undefined(text, line, key, undefined, _LITERAL)
            return value
        name, default = reference.groups()
        undefined += name not in environ and name not in values and default is None
        found = environ.get(name) or default or values.get(name, "")
        value = replace_first(value, reference[0], found)
        text.count_replacement(value, line)
    message = f"{key} refers to itself, or has too many references: Next.js ignores the whole file."
    raise FileRefused(Finding(line, "endless-reference", key, message, "Write its value in full."))
