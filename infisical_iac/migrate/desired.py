"""The values that a plan stores: read from the files again, which must not have changed."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from infisical_iac.dotenv import GRAMMARS, Reading
from infisical_iac.migrate import planning
from infisical_iac.migrate.cascades import paths, read_in
from infisical_iac.migrate.findings import label, shown
from infisical_iac.migrate.fingerprint import KEY_FILE, digest, of_bytes
from infisical_iac.migrate.model import Name, Secret
from infisical_iac.migrate.plan_file import MigrationError, Plan, PlannedKey, PlannedSource
from infisical_iac.workspace.model import Workspace

_MOST_TOLD = 10


def secrets(plan: Plan, root: Path, key: bytes, workspace: Workspace) -> list[Secret]:
    """Return every value that goes into Infisical, each name once.

    Args:
        root: the directory that the sources' paths begin in.
        key: of the hashes of values.
        workspace: which environments there are.

    Raises MigrationError, with a sentence on each, if a file has changed or can't be read as
    planned, something is undecided, or a decision can't be carried out.
    """
    sources = [each for each in plan.sources if each.decision != "skip"]
    files = {path: _read(root / path) for path in {p for each in sources for p in paths(each)}}
    contents = {path: data for path, data in files.items() if data is not None}
    _refuse(_changed(sources, files, key), "plan again")
    _refuse(_misplaced(sources, workspace), "decide in the plan, then apply again")
    found: dict[Name, Secret] = {}
    problems: list[str] = []
    for source in sources:
        reading = read_in(source, contents).reading
        for secret, problem in _of(source, reading, key):
            if problem:
                problems.append(problem)
            elif secret and found.setdefault(secret.name, secret).value != secret.value:
                first = found[secret.name]
                problems.append(
                    f"{secret.name.key} in {first.file}:{first.line} and {secret.file}:"
                    f"{secret.line} are different values for one place; decide `skip` for one"
                )
    _refuse(problems, "nothing was written")
    return list(found.values())


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _changed(
    sources: Iterable[PlannedSource], files: Mapping[str, bytes | None], key: bytes
) -> Iterator[str]:
    for source in sources:
        data = files[source.path]
        if data is None:
            yield f"{source.path} can't be read any more"
        elif of_bytes(key, data) != source.digest:
            yield f"{source.path} has changed since it was planned, or {KEY_FILE} has"


def _misplaced(sources: Iterable[PlannedSource], workspace: Workspace) -> Iterator[str]:
    environments = {each.slug for each in workspace.environments}
    for source in sources:
        if source.decision == "undecided":
            yield f"{source.path} is undecided: write `decision: store` or `decision: skip`"
        elif source.service not in workspace.services:
            yield f"{source.path} has no service that the workspace file names"
        elif source.environment not in environments:
            yield f"{source.path} has no environment that the workspace file names"
        elif source.folder not in workspace.folders:
            yield f"{source.path} has no folder that the workspace file names"
        elif source.grammar not in GRAMMARS:
            yield f"{source.path} has no grammar among {', '.join(GRAMMARS)}"


def _of(source: PlannedSource, reading: Reading, key: bytes) -> Iterator[tuple[Secret | None, str]]:
    """Yield each value that is stored, or why it can't be."""
    if reading.error:
        yield None, f"{source.path} is refused by its grammar: {reading.error}"
        return
    left = dict(source.keys)
    for name, value in reading.values.items():
        line = reading.lines[name]
        planned = left.pop(label(reading, name), None)
        if planned and planned.decision == "skip":
            continue
        problem = _problem(planned, name, value, key)
        if planned is None or problem:
            yield None, f"{shown(name, value) or 'a key'} in {source.path}:{line} {problem}"
            continue
        yield (
            Secret(
                Name(source.environment, source.folder, name),
                value,
                source.path,
                line,
                is_literal=planned.decision == "store-literal",
            ),
            "",
        )
    for gone in (name for name, each in left.items() if each.decision != "skip"):
        yield None, f"{gone} is planned, but not in {source.path}; remove it from the plan"


def _problem(planned: PlannedKey | None, name: str, value: str, key: bytes) -> str:
    if planned is None:
        return "is not in the plan; plan again, and decide `skip` to leave it out"
    if planned.digest != digest(key, value):
        return "is read otherwise than when it was planned; plan again"
    return planning.refusal(planned.decision, name, value)


def _refuse(problems: Iterable[str], remedy: str) -> None:
    told = list(problems)
    if told:
        more = len(told) - _MOST_TOLD
        shown_ones = "; ".join(told[:_MOST_TOLD]) + (f"; and {more} more" if more > 0 else "")
        raise MigrationError(f"{shown_ones}: {remedy}")
