"""Keep samples such as `.env.example` up to date with the keys that a service's code reads."""

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from infisical_iac.check.model import CheckFinding
from infisical_iac.check.usage import ServiceCode, is_given
from infisical_iac.core import atomic
from infisical_iac.core.wording import join_first, join_names
from infisical_iac.dotenv import read
from infisical_iac.migrate import find
from infisical_iac.migrate.findings import is_bootstrap

_NAME = re.compile(r"\.env\.(?:example|sample|template|dist|defaults)|(?:example|sample)\.env")
MARK = "# not read by the code: "
_ASSIGNED = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=")
_COMMENTED = re.compile(r"\s*#\s*(?:export\s+)?([A-Za-z_]\w*)\s*=")
_OTHER_LINE_END = re.compile(r"\r(?!\n)")
_MOST_NAMED = 10


class Sample(NamedTuple):
    """A sample of a service, and its up-to-date text.

    Attributes:
        path: relative to the root.
        missing: the keys that the code reads and the sample lacks.
        unread: the keys in it that no code reads.
    """

    path: str
    text: str
    missing: Sequence[str]
    unread: Sequence[str]


def is_sample_of_service(path: str) -> bool:
    """Return whether a file is a sample of all keys, not of one environment or the credentials."""
    return bool(_NAME.fullmatch(posixpath.basename(path)))


def find_samples(
    root: Path,
    paths: Collection[str],
    services: Mapping[str, Sequence[str]],
    code: Mapping[str, ServiceCode],
    elsewhere: Collection[str],
) -> Iterator[Sample]:
    """Yield the samples whose keys differ from those that their service's code reads.

    Args:
        paths: the files below the root.
        services: the directories of each service; samples are searched in these.
        elsewhere: the words in files that belong to no service; a key among them counts as read.
    """
    for name, homes in services.items():
        usage, given = code[name]
        wanted = [
            key
            for key in sorted(usage.in_service)
            if not is_given(key) and not is_bootstrap(key) and key not in given
        ]
        # Code that can't be parsed, or that computes names of keys when it runs, may read the key.
        is_sure = not usage.dynamic and not usage.unread
        used = {*usage.used, *elsewhere, *given}
        for path in sorted(paths):
            is_own = posixpath.dirname(path) in homes and is_sample_of_service(path)
            if is_own and not (root / path).is_symlink():
                data, problem = find.content(root, path)
                sample = None if problem else synchronize(path, data, wanted, used, is_sure=is_sure)
                if sample and (sample.missing or sample.unread or sample.text.encode() != data):
                    yield sample


def synchronize(
    path: str, data: bytes, wanted: Sequence[str], used: Collection[str], *, is_sure: bool = True
) -> Sample | None:
    """Return the up-to-date text of a sample; None if the sample can't be read.

    Comments, order, values and line ends stay. Missing keys come last, with empty values. A key
    that no code reads becomes a comment that says so; once code reads it, it is a key again. A key
    that somebody has commented out is not added.

    Args:
        wanted: the keys that the code reads.
        used: the names that may be keys.
        is_sure: whether a key that is not in `used` is surely not read.
    """
    reading = read(data, "dotenv")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if reading.error or _OTHER_LINE_END.search(text):
        return None
    end = "\r\n" if "\r\n" in text else "\n"
    lines = [each for each in re.split(r"(?<=\n)", text) if each]
    unread: list[str] = []
    for entry in reading.entries:
        is_kept = entry.key in used or is_bootstrap(entry.key) or is_given(entry.key)
        if is_sure and not is_kept and _ASSIGNED.match(lines[entry.first_line - 1].lstrip()):
            unread.append(entry.key)
            for number in range(entry.first_line - 1, min(entry.last_line, len(lines))):
                lines[number] = f"{MARK}{lines[number]}"
    lines = [*_restore(lines, {*wanted, *used})]
    there = {entry.key for entry in reading.entries}
    there |= {found[1] for line in lines if (found := _COMMENTED.match(line))}
    there |= {found[1] for line in lines if (found := _ASSIGNED.match(line.lstrip()))}
    missing = [key for key in wanted if key not in there]
    if missing and lines and not lines[-1].endswith("\n"):
        lines[-1] += end
    lines += (f"{key}={end}" for key in missing)
    return Sample(path, "".join(lines), missing, unread)


def _restore(lines: Sequence[str], used: Collection[str]) -> Iterator[str]:
    """Yield the lines; the mark is removed from keys that code reads again."""
    for is_marked, group in groupby(lines, lambda line: line.startswith(MARK)):
        block = list(group)
        if is_marked:
            bare = [each.removeprefix(MARK) for each in block]
            for entry in read("".join(bare).encode(), "dotenv").entries:
                if entry.key in used:
                    at = slice(entry.first_line - 1, entry.last_line)
                    block[at] = bare[at]
        yield from block


def find_outdated(samples: Iterator[Sample]) -> Iterator[CheckFinding]:
    """Yield notes on samples whose keys differ from those that the code reads."""
    for each in samples:
        problems = []
        if each.missing:
            problems.append(f"lacks {join_first(each.missing, _MOST_NAMED)}")
        if each.unread:
            problems.append(f"has {join_first(each.unread, _MOST_NAMED)}, which no code reads")
        what = join_names(problems) or "marks keys that code reads again"
        message = f"It {what}. `infisical-iac check --fix` corrects it."
        yield CheckFinding("sample-file", each.path, "", message, is_note=True)


def write_samples(root: Path, samples: Iterator[Sample]) -> list[Path]:
    """Write the up-to-date samples; return the changed files. Raises FileError."""
    written = []
    for each in samples:
        file = root / each.path
        with atomic.explain_failure(file):
            atomic.write(file, each.text, mode=file.stat().st_mode & 0o777)
        written.append(file)
    return written
