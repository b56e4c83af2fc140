"""From one `.env` file to its source."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from infisical_iac.dotenv import Finding, Reading
from infisical_iac.migrate import find
from infisical_iac.migrate.disagreements import disagreements
from infisical_iac.migrate.files import Content
from infisical_iac.migrate.findings import of_entries, shown
from infisical_iac.migrate.layered import Layer, Layered, overridden, paths, read_in
from infisical_iac.migrate.loaders import Choice
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.services import service_of
from infisical_iac.workspace.model import Workspace


class Spot(NamedTuple):
    """A file that is to be read, as `layered.Layer` has it."""

    path: str
    environment: str
    grammar: str
    loader: str
    layers: tuple[str, ...] = ()


def source(
    root: Path,
    path: str,
    choice: Choice,
    workspace: Workspace,
    *,
    content: Content,
    is_tracked: bool,
    layers: tuple[str, ...] = (),
) -> Source:
    """A file with where it goes, how it reads, and the findings that it shows by itself.

    Args:
        path: relative to `root`, with slashes.
        choice: the loader that reads it today.
        content: gives the bytes of files under `root`.
        is_tracked: whether git tracks it.
        layers: the names of the files that its loader reads with it, as in `cascades.layers`.

    A file that can't be read is a source without entries, and with a finding that blocks.
    """
    data, problem = content(path)
    slugs = [each.slug for each in workspace.environments]
    place = spot(path, choice, slugs)._replace(layers=layers)
    service = service_of(path, root.resolve().name, choice.readers, workspace)
    layered, found = _layered(content, place, choice, data, problem)
    made = Source(
        path,
        service,
        place.environment,
        workspace.services[service].folder if service else "",
        place.grammar,
        choice.evidence.why,
        data,
        layered.reading,
        loader=place.loader,
        layers=layers,
        overridden=frozenset(layered.overridden),
    )
    found += _of_place(made, slugs, is_tracked=is_tracked)
    return replace(made, findings=tuple(FileFinding.of(path, each) for each in found))


def spot(path: str, choice: Choice, slugs: Sequence[str]) -> Spot:
    """Return what must be known of a file to tell which others are read with it."""
    sign = choice.evidence
    return Spot(path, find.environment(path, slugs), sign.grammar, sign.loader)


def _layered(
    content: Content, place: Spot, choice: Choice, data: bytes, problem: str
) -> tuple[Layered, list[Finding]]:
    if problem:
        return Layered(Reading(place.grammar, (), (), problem), {}), [_unreadable(problem)]
    layered = read_in(place, _contents(content, place) | {place.path: data})
    return layered, _found(layered, data, choice)


def _contents(content: Content, file: Layer) -> dict[str, bytes]:
    read = {path: content(path) for path in paths(file) if path != file.path}
    return {path: data for path, (data, problem) in read.items() if not problem}


def _found(layered: Layered, data: bytes, choice: Choice) -> list[Finding]:
    reading = layered.reading
    values = reading.values
    found = [] if choice.evidence.exact else [_nearest(reading.grammar)]
    for each in reading.findings:
        refuses = bool(reading.error) and each.message == reading.error
        if each.kind != "interpolated":  # what is stored of it is told with its other findings
            kind = "unreadable-file" if refuses else each.kind
            found.append(replace(each, kind=kind, key=shown(each.key, values.get(each.key, ""))))
    found += of_entries(reading)
    found += overridden(layered)
    found += disagreements(data, reading, choice.others)
    return found


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
    if is_tracked:
        yield Finding(
            0,
            "tracked",
            "",
            "Git tracks it: its values are in every clone and in the history.",
            "Rotate them after the move; `migrate clean` takes the file out of the index.",
        )
