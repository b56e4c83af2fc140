"""From what a scan found to a plan that people can review."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from infisical_iac.migrate import decisions
from infisical_iac.migrate.findings import label, shown
from infisical_iac.migrate.fingerprint import digest, encoded, of_bytes
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.plan_file import (
    MigrationError,
    Plan,
    PlannedFinding,
    PlannedKey,
    PlannedSource,
)
from infisical_iac.migrate.secret import Name, Secret


def make(
    sources: Iterable[Source],
    *,
    project: str,
    root: str,
    key: bytes,
    allow_literal: bool = False,
    earlier: Plan | None = None,
) -> Plan:
    """The plan for what was scanned.

    Args:
        root: the directory that the sources' paths begin in, seen from the plan's own.
        key: of the hashes of values.
        allow_literal: whether values with what Infisical takes for a reference are stored.
        earlier: a plan whose decisions stay, for files and values that have not changed, and
            where it has its files go, which a person may have written.

    Raises MigrationError for a path that no text can hold.
    """
    sources = list(sources)
    for each in sources:
        if any("\ud800" <= character <= "\udfff" for character in each.path):
            raise MigrationError(f"{each.path!a} is no UTF-8: rename it, then plan again")
    before = {each.path: each for each in earlier.sources} if earlier else {}
    planned = [_source(each, key, allow_literal, before.get(each.path)) for each in sources]
    return Plan(project=project, root=root, sources=tuple(planned))


def common(roots: Iterable[Path]) -> Path:
    """The directory that all of several directories are in."""
    return Path(os.path.commonpath([os.path.abspath(each) for each in roots]))


def secrets(sources: Iterable[Source], plan: Plan) -> list[Secret]:
    """The values that may go into Infisical, for comparing.

    Those that somebody decided to skip may not, nor those whose name may be a piece of a value.
    """
    return [
        Secret(
            Name(planned.environment, planned.folder, key),
            value,
            source.path,
            source.line(key),
        )
        for source, planned in zip(sources, plan.sources, strict=True)
        for key, value in source.reading.values.items()
        if planned.decision != "skip"
        and planned.environment
        and planned.folder
        and planned.keys[label(source.reading, key)].decision != "skip"
        and shown(key, value)
    ]


def _source(
    source: Source, key: bytes, allow_literal: bool, before: PlannedSource | None
) -> PlannedSource:
    values = source.reading.values
    found = _by_label(source, values)
    of_file = found.get("", [])
    decision = decisions.of_file(of_file)
    file_digest = of_bytes(key, source.data)
    if before and (before.decision == "skip" or before.digest == file_digest):
        decision = decisions.kept(decision, before.decision, of_file, before.findings)
    keys = {}
    for name, value in values.items():
        named = label(source.reading, name)
        here = found.get(named, [])
        fresh = PlannedKey(
            line=source.line(name),
            length=len(encoded(value)),
            digest=digest(key, value),
            decision=decisions.default(here, allow_literal=allow_literal),
            findings=_planned(here),
        )
        keys[named] = _decided(fresh, before, named)
    return PlannedSource(
        path=source.path,
        digest=file_digest,
        # What a person has written there counts for more than what the scan makes of the path.
        service=(before.service if before else "") or source.service,
        environment=(before.environment if before else "") or source.environment,
        folder=(before.folder if before else "") or source.folder,
        grammar=source.grammar,
        loader=source.loader,
        layers=source.layers,
        why=source.why,
        decision=decision,
        findings=_planned(of_file),
        keys=keys,
    )


def _decided(fresh: PlannedKey, before: PlannedSource | None, name: str) -> PlannedKey:
    earlier = before.keys.get(name) if before else None
    if earlier is None or earlier.digest != fresh.digest:
        return fresh
    decision = decisions.kept(fresh.decision, earlier.decision, fresh.findings, earlier.findings)
    return fresh.model_copy(update={"decision": decision})


def _by_label(source: Source, values: Mapping[str, str]) -> dict[str, list[FileFinding]]:
    """The findings by the key's label, those of the whole file under ""."""
    hidden = {
        source.line(each): label(source.reading, each)
        for each in values
        if not shown(each, values[each])
    }
    found: dict[str, list[FileFinding]] = {}
    for each in source.findings:
        name = each.key if each.key in values else hidden.get(each.line, "")
        found.setdefault(name, []).append(each)
    return found


def _planned(found: Iterable[FileFinding]) -> tuple[PlannedFinding, ...]:
    return tuple(
        PlannedFinding(line=each.line, kind=each.kind, message=each.message, remedy=each.remedy)
        for each in found
    )
