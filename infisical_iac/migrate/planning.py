"""Make a plan: decide on each key, and keep the decisions of an earlier plan."""

import os
import posixpath
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from infisical_iac.core.errors import FileError, UserError
from infisical_iac.dotenv import GRAMMARS, Reading
from infisical_iac.migrate import find
from infisical_iac.migrate.apply import LONGEST_ITEM, size
from infisical_iac.migrate.cascades import OVERRIDDEN, PERSONAL_OVERRIDE, paths, read_in
from infisical_iac.migrate.comparison import KINDS, compare_files
from infisical_iac.migrate.evidence import Evidence, names_of_program
from infisical_iac.migrate.findings import (
    ENCRYPTED,
    LONGEST_NAME,
    REFERENCE,
    label,
    safe_name,
    trim,
)
from infisical_iac.migrate.loaders import Choice
from infisical_iac.migrate.model import FileFinding, Name, Secret, Source
from infisical_iac.migrate.plan_file import (
    KEY_FILE,
    PLAN_FILE,
    Decision,
    FileDecision,
    MigrationPlan,
    PlannedFinding,
    PlannedKey,
    PlannedSource,
    digest,
    encode,
    of_bytes,
)
from infisical_iac.migrate.sources import source as read_source
from infisical_iac.migrate.sources import with_findings
from infisical_iac.workspace.model import Workspace

_NOT_MOVED = frozenset({"bootstrap-key", ENCRYPTED, OVERRIDDEN, PERSONAL_OVERRIDE})
_Any = TypeVar("_Any", Decision, FileDecision)
Findings = Collection[FileFinding] | Collection[PlannedFinding]


def default_decision(findings: Collection[FileFinding], *, allow_literal: bool) -> Decision:
    """Return the decision on a key with these findings, unless a person decides."""
    kinds = {each.kind for each in findings}
    blocking = {each.kind for each in findings if each.blocking}
    if not kinds.isdisjoint(_NOT_MOVED):
        return "skip"
    if allow_literal and blocking == {"literal-reference"}:
        return "store-literal"
    if blocking:
        return "undecided"
    return "store-resolved" if "resolved" in kinds else "store"


def decide_file(findings: Collection[FileFinding]) -> FileDecision:
    """Return the decision on a file with these findings on the whole of it."""
    if any(each.kind == ENCRYPTED for each in findings):
        return "skip"
    return "undecided" if any(each.blocking for each in findings) else "store"


def keep_decision(fresh: _Any, earlier: _Any, found: Findings, found_then: Findings) -> _Any:
    """Return a new plan's decision on a key or file that has not changed since an earlier plan.

    A person's decision is kept, also against a default to skip, unless there are findings that the
    person did not know. A decision that was a default is made again.

    Args:
        fresh: the default of the new plan.
        found: the findings of the new plan; `found_then` are those of the earlier one.
    """
    if earlier == "skip":
        was_default = not _NOT_MOVED.isdisjoint(each.kind for each in found_then)
        return fresh if was_default else earlier
    known = {each.kind for each in found} <= {each.kind for each in found_then}
    was_decided = earlier != "undecided" and known
    return earlier if fresh in ("undecided", "skip") and was_decided else fresh


def refusal(decision: Decision, key: str, value: str) -> str:
    """Return why a decision can't be carried out, with the remedy; "" if it can."""
    if decision == "skip":
        return ""
    if decision == "undecided":
        return (
            "is undecided; write its decision into the plan; or, if you have decided on a whole "
            "file, run `infisical-iac migrate plan` again, then apply"
        )
    why = find_obstacle(key, value)
    if why:
        return f"{why}; decide `skip`, or change the file and plan again"
    if REFERENCE.search(value) and decision != "store-literal":
        return "has ${…}, which Infisical would replace; decide `store-literal` or `skip`"
    if decision == "store-literal" and not REFERENCE.search(value):
        # The decision seems to store the text as written, but only another grammar reads it so.
        return (
            "has no ${…} that `store-literal` could keep; decide `store` for the value as the "
            "file's grammar reads it, or write another `grammar` on the file and plan again"
        )
    return ""


def find_obstacle(key: str, value: str) -> str:
    """Return the reason why Infisical can't store a value unchanged; "" if it can."""
    if not safe_name(key, value) or ":" in key or "/" in key:
        return "has a name that Infisical does not take, or that may be a piece of a value"
    if len(encode(key)) > LONGEST_NAME:
        return f"has a name of more than {LONGEST_NAME} bytes, which Infisical does not take"
    if trim(value) != value:
        return "begins or ends with blanks, which Infisical would trim"
    if any("\ud800" <= each <= "\udfff" for each in value):
        return "holds bytes that are not UTF-8, which Infisical does not take"
    if size({"secretKey": key, "secretValue": value}) > LONGEST_ITEM:
        return "is too long for a request"
    return ""


CHOSEN = "the plan says so"
MIGRATED = "it was migrated with this grammar"

# Findings that a second reading of one file can't derive, as it knows neither git nor the files
# around it.
_AROUND = frozenset(
    {"no-service", "no-environment", "personal-file", "tracked", "missing", "not-in-sample"}
)


def apply_chosen_grammars(
    sources: Sequence[Source],
    earlier: MigrationPlan | None,
    root: Path,
    workspace: Workspace,
    proven: Container[str] = (),
) -> list[Source]:
    """Return the sources; those whose grammar an earlier plan decides are read again.

    The earlier plan decides for a migrated file: once its service uses this project's loader, only
    that plan has the former grammar. It also decides if a person changed the grammar in it.

    Args:
        proven: the paths of the files that are unchanged since they were migrated.
    """
    before = {each.path: each for each in earlier.present_sources} if earlier else {}
    made = []
    for source in sources:
        chosen = before.get(source.path)
        if chosen and is_grammar_chosen(chosen, source):
            source = read_again(source, chosen.grammar, CHOSEN, root, workspace)
        elif chosen and source.path in proven:
            layers = (chosen.loader, chosen.layers)
            source = read_again(source, chosen.grammar, MIGRATED, root, workspace, *layers)
        made.append(source)
    if made == list(sources):
        return made
    # Findings on several files depend on the readings of all of them.
    own = (tuple(one for one in each.findings if one.kind not in KINDS) for each in made)
    fresh = [replace(each, findings=found) for each, found in zip(made, own, strict=True)]
    return with_findings(fresh, compare_files(fresh))


def is_grammar_chosen(planned: PlannedSource, source: Source) -> bool:
    """Return whether a person changed the grammar in a plan.

    A difference between two grammars of one program may also come from another release, or from an
    earlier version of this project, which knew only Node 20. There it is a person's change only if
    the plan has the same reasons for the grammar and for the release as the source.
    """
    if planned.grammar == source.grammar or planned.why == CHOSEN:
        return planned.grammar != source.grammar
    if planned.grammar in names_of_program(source.grammar):
        return (planned.why, planned.release) == (source.why, source.release or None)
    return planned.why == source.why


def read_again(
    source: Source,
    grammar: str,
    why: str,
    root: Path,
    workspace: Workspace,
    loader: str = "",
    layers: tuple[str, ...] = (),
) -> Source:
    """Return a source as another grammar reads it; unchanged if there is no such grammar.

    Args:
        root: the directory that its path is relative to.
        loader: the loader that reads the files `layers` together with it.
    """
    if grammar not in GRAMMARS:
        return source
    fresh = read_source(
        root,
        source.path,
        Choice(Evidence(grammar, why, loader=loader), others=(), readers=()),
        workspace,
        content=partial(find.content, root),
        is_tracked=False,
        layers=layers,
    )
    around = (each for each in source.findings if each.kind in _AROUND)
    inside = (each for each in fresh.findings if each.kind not in _AROUND)
    return replace(
        source,
        grammar=grammar,
        why=why,
        data=fresh.data,
        reading=fresh.reading,
        loader=loader,
        layers=layers,
        overridden=fresh.overridden,
        release="",
        findings=(*around, *inside),
    )


def make(
    sources: Iterable[Source],
    *,
    project: str,
    root: str,
    key: bytes,
    allow_literal: bool = False,
    earlier: MigrationPlan | None = None,
) -> MigrationPlan:
    """Return the plan for the scanned sources.

    Args:
        root: the directory that the sources' paths are relative to, relative to the plan's own.
        allow_literal: whether values with text that Infisical takes for a reference are stored.
        earlier: a plan whose decisions are kept for unchanged files and values. Its targets are
            kept too: a person may have written them.

    Raises FileError for a path that is not UTF-8.
    """
    sources = list(sources)
    for each in sources:
        if any("\ud800" <= character <= "\udfff" for character in each.path):
            raise FileError(f"{each.path!a} is not UTF-8: rename it, then plan again")
    before = {each.path: each for each in earlier.present_sources} if earlier else {}
    planned = [_source(each, key, allow_literal, before.get(each.path)) for each in sources]
    return MigrationPlan(project=project, root=root, sources=tuple(planned))


def common(roots: Iterable[Path]) -> Path:
    """Return the nearest directory that contains all of these directories."""
    return Path(os.path.commonpath([os.path.abspath(each) for each in roots]))


def secrets(sources: Iterable[Source], plan: MigrationPlan) -> list[Secret]:
    """Return the values that may go into Infisical, to be compared with it.

    Skipped values are left out, and so are those with a name that may be a piece of a value.
    """
    return [
        Secret(Name(*planned.target, key), value, source.path, source.line(key))
        for source, planned in zip(sources, plan.sources, strict=True)
        for key, value in source.reading.values.items()
        if planned.decision != "skip"
        and all(planned.target)
        and planned.keys[label(source.reading, key)].decision != "skip"
        and safe_name(key, value)
    ]


def _source(
    source: Source, key: bytes, allow_literal: bool, before: PlannedSource | None
) -> PlannedSource:
    values = source.reading.values
    found = by_label(source, values)
    of_file = found.get("", [])
    decision = decide_file(of_file)
    file_digest = of_bytes(key, source.data)
    if before and (before.decision == "skip" or before.digest == file_digest):
        decision = keep_decision(decision, before.decision, of_file, before.findings)
    keys = {}
    for name, value in values.items():
        named = label(source.reading, name)
        here, value_digest = found.get(named, []), digest(key, value)
        of_key = default_decision(here, allow_literal=allow_literal)
        earlier = before.keys.get(named) if before else None
        if earlier and earlier.digest == value_digest:
            of_key = keep_decision(of_key, earlier.decision, here, earlier.findings)
        keys[named] = PlannedKey(
            line=source.line(name),
            length=len(encode(value)),
            digest=value_digest,
            decision=of_key,
            findings=_planned_findings(here),
        )
    return PlannedSource(
        path=source.path,
        digest=file_digest,
        # A target that a person has written wins over the one that the scan derives from the path.
        service=(before.service if before else "") or source.service,
        environment=(before.environment if before else "") or source.environment,
        folder=(before.folder if before else "") or source.folder,
        grammar=source.grammar,
        loader=source.loader,
        layers=source.layers,
        why=source.why,
        release=source.release,
        decision=decision,
        findings=_planned_findings(of_file),
        keys=keys,
    )


def by_label(source: Source, values: Mapping[str, str]) -> dict[str, list[FileFinding]]:
    """Return the findings by the key's label, those of the whole file under ""."""
    hidden = {
        source.line(each): label(source.reading, each)
        for each in values
        if not safe_name(each, values[each])
    }
    found: dict[str, list[FileFinding]] = {}
    for each in source.findings:
        name = each.key if each.key in values else hidden.get(each.line, "")
        found.setdefault(name, []).append(each)
    return found


def _planned_findings(found: Iterable[FileFinding]) -> tuple[PlannedFinding, ...]:
    return tuple(
        PlannedFinding(line=each.line, kind=each.kind, message=each.message, remedy=each.remedy)
        for each in found
    )


_MOST_SHOWN = 10


def read_values(
    plan: MigrationPlan, root: Path, key: bytes, workspace: Workspace, name: str = PLAN_FILE
) -> list[Secret]:
    """Return every value that goes into Infisical, each name once, without deleted files.

    Args:
        name: the plan's file, as errors name it.

    Raises UserError with a sentence on each file that has changed or can't be read as planned, and
    on each decision that is missing or can't be carried out.
    """
    sources = [each for each in plan.present_sources if each.decision != "skip"]
    contents = {}
    for path in {path for each in sources for path in paths(each)}:
        with suppress(OSError):
            contents[path] = (root / path).read_bytes()
    _refuse(_changed_files(sources, contents, key), "plan again", "error.plan_stale")
    remedy = f"write it on that file in {name}, run `infisical-iac migrate plan` again, then apply"
    _refuse(_misplaced_files(sources, workspace), remedy, "error.plan_targets")
    _refuse(_find_lost_keys(plan), "plan again", "error.plan_stale")
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
    _refuse(problems, "nothing was written", "error.plan_values")
    return list(found.values())


def _changed_files(
    sources: Iterable[PlannedSource], contents: Mapping[str, bytes], key: bytes
) -> Iterator[str]:
    for source in sources:
        if source.path not in contents:
            yield f"{source.path} can't be read any more"
        elif of_bytes(key, contents[source.path]) != source.digest:
            yield f"{source.path} has changed since it was planned, or {KEY_FILE} has"


def _misplaced_files(sources: Iterable[PlannedSource], workspace: Workspace) -> Iterator[str]:
    environments = {each.slug for each in workspace.environments}
    for source in sources:
        if source.decision == "undecided":
            yield f"{source.path} is undecided (`decision: store` or `decision: skip`)"
        elif source.service not in workspace.services:
            yield source.path + (
                f" has the service {source.service!r}, which is not in the project file"
                if source.service
                else " has no service that the project file names"
            )
        elif source.environment not in environments:
            yield f"{source.path} has no environment that the project file names"
        elif source.folder not in workspace.folders:
            yield f"{source.path} has no folder that the project file names"
        elif source.grammar not in GRAMMARS:
            yield f"{source.path} has no grammar among {', '.join(GRAMMARS)}"


def _find_lost_keys(plan: MigrationPlan) -> Iterator[str]:
    """Yield a sentence on each key that is left out because a skipped file overrides it."""
    by_path = {each.path: each for each in plan.present_sources}
    for source in (each for each in plan.present_sources if each.decision != "skip"):
        together = paths(source)
        above = [by_path[e] for e in together[together.index(source.path) + 1 :] if e in by_path]
        for name, key in source.keys.items():
            others = [each for each in above if name in each.keys]
            is_left_out = any(each.kind in (OVERRIDDEN, PERSONAL_OVERRIDE) for each in key.findings)
            if key.decision != "skip" or not others or not is_left_out:
                continue
            if all(each.decision == "skip" for each in others):
                yield (
                    f"{name} in {source.path}:{key.line} was left out in favour of "
                    f"{others[-1].path}, which is skipped now"
                )


def find_left_out(plan: MigrationPlan, directory: Path) -> frozenset[Path]:
    """Return the personal files that a plan skips; the other files are read without them.

    Args:
        directory: the plan's directory, to which its root is relative.
    """
    return frozenset(
        Path(os.path.abspath(directory / plan.root / each.path))
        for each in plan.sources
        if each.decision == "skip" and find.is_personal(posixpath.basename(each.path))
    )


def _of(source: PlannedSource, reading: Reading, key: bytes) -> Iterator[tuple[Secret | None, str]]:
    """Yield each value to be stored, or a sentence on why it can't be."""
    if reading.error:
        yield None, f"{source.path} is refused by its grammar: {reading.error}"
        return
    left = dict(source.keys)
    for name, value in reading.values.items():
        line = reading.lines[name]
        planned = left.pop(label(reading, name), None)
        if planned and planned.decision == "skip":
            continue
        if planned is None:
            problem = "is not in the plan; plan again, and decide `skip` to leave it out"
        elif planned.digest != digest(key, value):
            problem = "is read differently than when it was planned; plan again"
        else:
            problem = refusal(planned.decision, name, value)
        if problem:
            yield None, f"{safe_name(name, value) or 'a key'} in {source.path}:{line} {problem}"
        else:
            is_literal = planned is not None and planned.decision == "store-literal"
            yield Secret(Name(*source.target, name), value, source.path, line, is_literal), ""
    for gone in (name for name, each in left.items() if each.decision != "skip"):
        yield None, f"{gone} is planned, but not in {source.path}; remove it from the plan"


def _refuse(problems: Iterable[str], remedy: str, code: str) -> None:
    """Raise a UserError with the first of the problems, if there are any."""
    found = list(problems)
    if found:
        more = len(found) - _MOST_SHOWN
        shown = "; ".join(found[:_MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise UserError(f"{shown}: {remedy}", code=code)
