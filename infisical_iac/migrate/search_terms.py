"""Collect the values of a plan, and search for all their forms in one pass."""

import json
import re
import sys
from base64 import b64encode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote

import ahocorasick  # type: ignore[import-not-found]

from infisical_iac.core.errors import FileError, UserError
from infisical_iac.core.wording import join_names
from infisical_iac.dotenv import GRAMMARS, Reading, grammar, read
from infisical_iac.dotenv.text import without_comment
from infisical_iac.migrate import findings, git
from infisical_iac.migrate.cascades import paths, read_in
from infisical_iac.migrate.find import content, shared_part
from infisical_iac.migrate.model import Name, Stored
from infisical_iac.migrate.plan_file import MigrationPlan, PlannedSource, digest


class MovedValue(NamedTuple):
    """The place in Infisical of a value that its file no longer has, and the value's digest."""

    name: Name
    digest: str


@dataclass(frozen=True)
class KnownValues:
    """The values of a plan, by labels such as `backend/.env DATABASE_URL`.

    Attributes:
        values: the values that were read.
        moved: the values that may be only in Infisical.
        unknown: the values that are gone or can't be read, with the reason.
        lost: those of the unknown values that the plan skipped. Somebody may have stored them in
            another place in Infisical; the name is the one in the folder of the file.
    """

    values: dict[str, str] = field(default_factory=dict, repr=False)
    moved: dict[str, MovedValue] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    lost: dict[str, MovedValue] = field(default_factory=dict)


def in_files(plan: MigrationPlan, root: Path, key: bytes) -> KnownValues:
    """Return the values in the files, each read by the grammar in the plan.

    If a value has changed in its file, the new one is known, and the planned one counts as gone. A
    skipped value that is gone is recognized by its digest: among the other values, and in the
    versions of its file in git.
    """
    known = KnownValues()
    for source in plan.sources:
        here, problem = ({}, "") if source.deleted else _read(source, root)
        if problem:
            known.unknown[source.path] = problem
        for name, value in here.items():
            planned = source.keys.get(name)
            is_other = planned is not None and planned.digest != digest(key, value)
            now = " (in the file now)" if is_other else ""
            known.values[f"{source.path} {name}{now}"] = value
        for name, planned in source.keys.items():
            label = f"{source.path} {name}"
            if label in known.values:
                if not source.deleted:
                    continue
                label = f"{label} (before the file was deleted)"
            place = MovedValue(Name(*source.target, name), planned.digest)
            (known.moved if name in source.stored_keys else known.lost)[label] = place
    by_digest = _by_digest(known.values.values(), key) if known.lost else {}
    for source in plan.sources if known.lost else ():
        _recover(source, root, key, known, by_digest)
    return known


def _by_digest(values: Iterable[str], key: bytes) -> dict[str, str]:
    return {digest(key, value): value for value in values}


def _recover(
    source: PlannedSource, root: Path, key: bytes, known: KnownValues, others: Mapping[str, str]
) -> None:
    """Move the lost values of a file to the known ones, as far as they can be recognized.

    Args:
        others: further values, by their digest.
    """
    labels = [each for each in known.lost if each.startswith(f"{source.path} ")]
    left = {label for label in labels if known.lost[label].digest not in others}
    in_git = _by_digest(_earlier_values(source, root), key) if left else {}
    for label in labels:
        wanted = known.lost[label].digest
        value = others.get(wanted, in_git.get(wanted))
        if value is None:
            known.unknown[label] = _LOST
        else:
            known.values[label] = value
            known.unknown.pop(label, None)
            del known.lost[label]


_LOST = (
    "it was not moved, its file no longer has it, and no version of the file in git has it; "
    "restore the file from its archive, and name it with --env-file"
)


def _earlier_values(source: PlannedSource, root: Path) -> Iterator[str]:
    """Yield the values in all versions of a file that git has, each read by its grammar."""
    if source.grammar not in GRAMMARS:
        return
    found = {path: content(root, path) for path in paths(source)}
    contents = {path: data for path, (data, problem) in found.items() if not problem}
    for data in git.versions((root / source.path).resolve()):
        for reading in (
            read_in(source, contents | {source.path: data}).reading,
            read(data, source.grammar),
        ):
            yield from reading.values.values()


def with_stored(known: KnownValues, stored: Mapping[Name, Stored], key: bytes) -> KnownValues:
    """Return the known values together with the moved ones that Infisical has.

    If a value has changed in Infisical, the new one is known, and the planned one is unknown. A
    lost value is recognized wherever Infisical has it.
    """
    values, unknown = dict(known.values), dict(known.unknown)
    there = (each.value for each in stored.values() if not each.is_hidden)
    by_digest = _by_digest(there, key) if known.lost else {}
    for label, (_, planned) in known.lost.items():
        if planned in by_digest:
            values[label] = by_digest[planned]
            del unknown[label]
    for label, (name, planned) in known.moved.items():
        found = stored.get(name)
        if found is None or found.is_hidden:
            state = "is missing" if found is None else "does not show its value"
            unknown[label] = f"its file no longer has it, and {name} in Infisical {state}"
        elif digest(key, found.value) == planned:
            values[label] = found.value
        else:
            values[f"{label} (in Infisical now)"] = found.value
            unknown[label] = f"its file no longer has it, and {name} has another value"
    return KnownValues(values, unknown=unknown)


def in_env_files(env_files: Sequence[Path], grammar: str) -> dict[str, str]:
    """Return the values of files by file and name. Raises UserError for an unreadable one."""
    if grammar not in GRAMMARS:
        names = ", ".join(GRAMMARS)
        raise UserError(f"{grammar} is not a grammar: name one of {names}", code="error.no_grammar")
    values: dict[str, str] = {}
    for file in env_files:
        try:
            data = file.read_bytes()
        except OSError as failure:
            raise FileError(f"{file} can't be read: {failure.strerror}") from None
        found, error = _values_by_label(findings.drop_pem_pieces(read(data, grammar), data))
        if error:
            raise FileError(f"{file} can't be read by {grammar}: {error}")
        values |= {f"{file} {name}": value for name, value in found.items()}
    return values


def _values_by_label(reading: Reading) -> tuple[dict[str, str], str]:
    """Return a file's values by name, or by line where the name may be a piece of a value.

    Return also the reason why the grammar refuses the whole file; "" if it doesn't.
    """
    values = {findings.label(reading, name): value for name, value in reading.values.items()}
    return values, reading.error


def _uncut_values(reading: Reading, data: bytes) -> dict[str, str]:
    """Return the whole texts of the values that the grammar cuts at a `#`, by a label of theirs."""
    lines = grammar(reading.grammar).decode(data).text.split("\n")
    return {
        f"{each.key} (with the text after the #)": without_comment(
            lines[each.line - 1].partition("=")[2]
        )
        for each in reading.findings
        if each.kind == findings.CUT and findings.safe_name(each.key, "")
    }


def _overrides(
    source: PlannedSource, data: bytes, shared: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the labels and values of one person's overrides in a file.

    Args:
        shared: the values above them, by label.
    """
    above = shared_part(source.path, data)
    if rest := data[len(above) :]:
        rest = b"\n" * above.count(b"\n") + rest  # so that labels have the lines of the file
        values, _ = _values_by_label(findings.drop_pem_pieces(read(rest, source.grammar), rest))
        for name, value in values.items():
            yield f"{name} (below # overrides)" if name in shared else name, value


def _read(source: PlannedSource, root: Path) -> tuple[dict[str, str], str]:
    """Return the values by their names in the plan, or the reason why there are none."""
    if source.grammar not in GRAMMARS:
        return {}, f"{source.grammar} is not a grammar"
    contents = {}
    for path in paths(source):
        try:
            contents[path] = (root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return {}, f"it can't be read: {error.strerror}"
    if source.path not in contents:
        return {}, ""
    reading = read_in(source, contents).reading
    values, refused = _values_by_label(reading)
    values |= _uncut_values(reading, contents[source.path])
    values.update(_overrides(source, contents[source.path], dict(values)))
    return values, f"it can't be read by {source.grammar}: {refused}" if refused else ""


_SHORTEST = 8
_FEWEST_SIGNS = 4

# A word or a number; up to three of them make a name; names make a path, a host, an address.
_WORD = r"(?:[A-Z]?[a-z]{1,12}\d{0,2}|[A-Z]{1,12}|\d{1,15})"
_NAME = rf"{_WORD}(?:[-_ ]{_WORD}){{0,2}}"
_PATH = rf"{_NAME}(?:[./]{_NAME})*"
_PLAIN = re.compile(rf"(?:[a-z][a-z+]{{1,15}}://|\.{{0,2}}/)?{_PATH}(?::\d{{1,5}})?(?:/{_PATH})?/?")
_NUMBER = re.compile(r"\d+(?:[-_ ]\d+)*(?:\.\d+)?")
_MAIL = re.compile(rf"[a-z0-9._+-]{{1,30}}@{_PATH}")


def why_skipped(value: str) -> str:
    """Return why a value is not searched for; "" if it is.

    Such a value would be found in unrelated places of any repository.
    """
    text = value.strip()
    if len(text.encode("utf-8", "surrogatepass")) < _SHORTEST:
        return f"shorter than {_SHORTEST} bytes"
    if len(set(text)) < _FEWEST_SIGNS:
        return f"fewer than {_FEWEST_SIGNS} different characters"
    parts = [part.strip() for part in text.split(",")]
    if all(_PLAIN.fullmatch(part) or _MAIL.fullmatch(part) for part in parts):
        return join_names(dict.fromkeys(map(_describe, parts)))
    return ""


def _describe(plain: str) -> str:
    """Return the kind of a text that is skipped."""
    if _NUMBER.fullmatch(plain):
        return "a number"
    if "://" in plain:
        return "an address without credentials"
    if "@" in plain:
        return "a mail address"
    if "/" in plain:
        return "a path"
    if ":" in plain:
        return "a host"
    return "a name with dots" if "." in plain else "plain words"


# Characters that encoders do not encode, besides letters, digits and `_.-~`: by the strictest rule,
# in a path, and in JavaScript's encodeURIComponent and encodeURI.
_UNQUOTED = ("", "/", "!*'()", "!*'();/?:@&=+$,#")
_PERCENT = re.compile("%[0-9A-F]{2}")
_UNICODE = re.compile(r"\\u[0-9a-f]{4}")
_HTML = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})


def written_forms(value: str) -> dict[bytes, str]:
    """Return the bytes of a value in each of its forms, with the name of the form.

    White space around the value is stripped, so that it is found with and without. A value of
    several lines is searched for with both line ends, in each form. Bytes that belong to several
    forms have the name of the simplest.
    """
    text = value.strip()
    lines = text.replace("\r\n", "\n")
    found: dict[bytes, str] = {}
    for each in dict.fromkeys((text, lines, lines.replace("\n", "\r\n"))):
        found.setdefault(_bytes(each), "as it is" if each == text else "with other line ends")
    for written, name in _encodings(list(found)):
        found.setdefault(written, name)
    return found


def _bytes(text: str) -> bytes:
    # JavaScript's strings may have no UTF-8.
    return text.encode("utf-8", "surrogatepass")


def _encodings(texts: list[bytes]) -> Iterator[tuple[bytes, str]]:
    for data in texts:
        text = data.decode("utf-8", "surrogatepass")
        for json_string in _json_escaped(text):
            yield _bytes(json_string), "JSON-escaped"
        for url in _url_encoded(data):
            yield url.encode(), "URL-encoded"
        for encode in (b64encode, urlsafe_b64encode):
            for part in _base64(data, encode):
                yield part, "base64"


def _json_escaped(text: str) -> Iterator[str]:
    for ascii_only in (False, True):
        plain = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        for slashes in (plain, plain.replace("/", r"\/")):
            for written in (slashes, slashes.translate(_HTML)):
                yield written
                yield _UNICODE.sub(lambda match: r"\u" + match[0][2:].upper(), written)


def _url_encoded(data: bytes) -> Iterator[str]:
    for safe in _UNQUOTED:
        written = quote(data, safe=safe)
        for spaces in (written, written.replace("%20", "+")):
            yield spaces
            yield _PERCENT.sub(lambda match: match[0].lower(), spaces)


def _base64(data: bytes, encode: Callable[[bytes], bytes]) -> Iterator[bytes]:
    # A character stands for six bits, and three bytes are four characters: in a longer text, the
    # value begins at one of three offsets. Characters that depend on its surroundings are left out.
    for before in range(3):
        first = -(-before * 8 // 6)
        end = (before + len(data)) * 8 // 6
        yield encode(bytes(before) + data)[first:end]


# Longer forms are searched for by their first bytes, so that little of an object is in memory.
_LONGEST = 4096
_Letter = Literal["Q", "I"]
# Sizes of machine words, with their letters in memoryview.
_WORDS: tuple[tuple[int, _Letter], ...] = ((8, "Q"), (4, "I"))


@dataclass(frozen=True, order=True)
class Match:
    """A value that was found, by its label and its form."""

    label: str
    form: str


class SearchTerms:
    """Values to search for; none of them is shown.

    Args:
        values: by label, such as `backend production API_KEY`.

    Attributes:
        searched: labels of the values that are searched for.
        skipped: by label, the reason why a value is not searched for.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        reasons = {label: why_skipped(value) for label, value in values.items()}
        self.searched = [label for label, reason in reasons.items() if not reason]
        self.skipped = {label: reason for label, reason in reasons.items() if reason}
        meanings: dict[bytes, list[Match]] = defaultdict(list)
        for label in self.searched:
            for written, form in written_forms(values[label]).items():
                meanings[written[:_LONGEST]].append(Match(label, form))
        self._overlap = max(map(len, meanings), default=1) - 1
        self._automaton = ahocorasick.Automaton()
        for written, found in meanings.items():
            self._automaton.add_word(written.decode("latin-1"), found)
        self._automaton.make_automaton()
        self._filters = _filters(meanings)

    def search(self, chunks: Iterable[bytes]) -> set[Match]:
        """Return the values in the bytes of the chunks joined."""
        found: set[Match] = set()
        end = b""
        for chunk in chunks:
            block = end + chunk
            view = memoryview(block)
            may_be_in = any(
                not words.isdisjoint(view[: len(block) // size * size].cast(letter))
                for size, letter, words in self._filters
            )
            if may_be_in:
                for _, meaning in self._automaton.iter(block.decode("latin-1")):
                    found.update(meaning)
            end = block[max(0, len(block) - self._overlap) :]
        return found


# The automaton needs time for each byte, and more with more values. So it only searches blocks that
# may contain a value. At least 2n - 1 bytes cover a whole aligned machine word of n bytes, wherever
# they begin, and a lookup of that word in a set is fast.


def _filters(terms: Iterable[bytes]) -> list[tuple[int, _Letter, frozenset[int]]]:
    """Return each size of machine words with its letter for memoryview and the words to look up."""
    words: dict[int, set[int]] = defaultdict(set)
    for term in terms:
        size = next(size for size, _ in _WORDS if len(term) >= 2 * size - 1)
        part = _rarest(term, 2 * size - 1)
        words[size] |= {int.from_bytes(part[at : at + size], sys.byteorder) for at in range(size)}
    return [(size, letter, frozenset(words[size])) for size, letter in _WORDS if words[size]]


def _rarest(term: bytes, length: int) -> bytes:
    # Text is mostly lower-case words: the part with the most different other bytes is the rarest.
    parts = [term[at : at + length] for at in range(len(term) - length + 1)]
    return max(parts, key=lambda part: len({sign for sign in part if not 97 <= sign <= 122}))
