"""Parse YAML strictly: refuse duplicate keys, and know the line of every entry."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infisical_iac.core.errors import FileError

Place = tuple[str | int, ...]
Problem = tuple[Place, str]


@dataclass(frozen=True)
class Document:
    """The data of a YAML text, and the line in which each entry begins."""

    data: Any
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """Return the line of an entry, or of the nearest existing entry around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def text_of(file: Path, missing: str) -> str:
    """Return the text of a file in UTF-8.

    Raises FileError, with the sentence `missing` if there is no such file.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileError(missing, code="file.missing") from None
    except OSError as error:
        raise FileError(
            f"{file} can't be read: {error.strerror}", code="file.not_readable"
        ) from None
    except UnicodeDecodeError:
        raise FileError(f"{file} is not in UTF-8; save it as UTF-8", code="file.encoding") from None


def parse(text: str, where: str) -> Document:
    """Read a YAML text safely.

    Raises FileError, with the line, for text that is not YAML and for a duplicate key. Other YAML
    parsers silently take the last of duplicate keys.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        lines: dict[Place, int] = {}
        if node is not None:
            _note(node, (), lines, where)
        data = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise FileError(_sentence(error, where), code="file.yaml") from None
    return Document(data, lines)


def _note(node: yaml.Node, place: Place, lines: dict[Place, int], where: str) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note(item, (*place, index), lines, where)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line, inner = key.start_mark.line + 1, (*place, str(key.value))
            if inner in lines:
                raise FileError(
                    f"{where}, line {line}: {format_place(inner)} is in line {lines[inner]} too; "
                    "keep one of them",
                    code="file.duplicate_key",
                )
            lines[inner] = line
            _note(value, inner, lines, where)


def _sentence(error: Exception, where: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        problem = error.problem or error.context or "unreadable"
        return f"{where}{line}: this is not YAML ({problem}); check quotes, colons and indentation"
    if isinstance(error, yaml.reader.ReaderError):
        return f"{where}: character #x{error.character:04x} is not allowed; remove it"
    return f"{where}: this can't be read as YAML; check its values and how deep it nests"


def format_place(place: Place) -> str:
    """Return a place as people write it, such as `services.backend.imports[0]`."""
    words = ""
    for part in place:
        if isinstance(part, int):
            words += f"[{part}]"
        else:
            shown = part if part.isprintable() else repr(part)
            words += f".{shown}" if words else shown
    return words
