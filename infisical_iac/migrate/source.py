"""From one `.env` file to its source."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from infisical_iac.dotenv import Finding, Reading, read
from infisical_iac.migrate import find, torn
from infisical_iac.migrate.disagreements import disagreements
from infisical_iac.migrate.files import content
from infisical_iac.migrate.findings import of_entries, shown
from infisical_iac.migrate.loaders import Choice
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.services import service_of
from infisical_iac.workspace.model import Workspace


def source(
    root: Path, path: str, choice: Choice, workspace: Workspace, *, is_tracked: bool
) -> Source:
    """A file with where it goes, how it reads, and the findings that it shows by itself.

    Args:
        path: relative to `root`, with slashes.
        choice: the loader that reads it today.
        is_tracked: whether git tracks it.

    A file that can't be read is a source without entries, and with a finding that blocks.
    """
    data, problem = content(root, path)
    grammar, slugs = choice.sign.grammar, [each.slug for each in workspace.environments]
    service = service_of(path, root.resolve().name, choice.readers, workspace)
    read_so = Reading(grammar, (), (), problem), [_unreadable(problem)]
    reading, found = read_so if problem else _read(data, choice)
    made = Source(
        path,
        service,
        find.environment(path, slugs),
        workspace.services[service].folder if service else "",
        grammar,
        choice.sign.why,
        "" if problem else hashlib.sha256(data).hexdigest(),
        reading,
    )
    found += _of_place(made, slugs, is_tracked=is_tracked)
    return replace(made, findings=tuple(FileFinding.of(path, each) for each in found))


def _read(data: bytes, choice: Choice) -> tuple[Reading, list[Finding]]:
    reading = torn.mended(read(data, choice.sign.grammar), data)
    values = reading.values
    found = [] if choice.sign.exact else [_nearest(reading.grammar)]
    for each in reading.findings:
        refuses = bool(reading.error) and each.message == reading.error
        if each.kind != "interpolated":  # what is stored of it is told with its other findings
            kind = "unreadable-file" if refuses else each.kind
            found.append(replace(each, kind=kind, key=shown(each.key, values.get(each.key, ""))))
    found += of_entries(reading)
    found += disagreements(data, reading, choice.others)
    return reading, found


def _nearest(grammar: str) -> Finding:
    return Finding(
        0,
        "nearest-grammar",
        "",
        f"What reads it is unknown, or has rules of its own: it is read as {grammar}.",
        "Compare with what the service sees, above all where grammars disagree.",
    )


def _unreadable(problem: str) -> Finding:
    return Finding(0, "unreadable-file", "", problem, "Set it right, or leave the file out.")


def _of_place(made: Source, slugs: Sequence[str], *, is_tracked: bool) -> Iterator[Finding]:
    if not made.service:
        yield Finding(
            0,
            "no-service",
            "",
            "No service of the workspace file has the name or the folder of its directory.",
            "Add the service there, or say in the plan which folder it goes to.",
        )
    if not made.environment:
        yield Finding(
            0,
            "no-environment",
            "",
            f"Its name is of none of the environments {', '.join(slugs)}.",
            "Say in the plan which it is of, or leave the file out.",
        )
    if made.grammar == "next" and set(find.words(made.path.rpartition("/")[2])) <= {"local"}:
        yield Finding(
            0,
            "every-mode",
            "",
            "Next.js reads it in production too, and here it goes to one environment alone.",
            "Add to the production file the keys that it lacks.",
        )
    if is_tracked:
        yield Finding(
            0,
            "tracked",
            "",
            "Git tracks it: its values are in every clone and in the history.",
            "Rotate them after the move; `migrate clean` takes the file out of the index.",
        )
