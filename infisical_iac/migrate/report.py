"""Write the report of a migration, and mark it as verified."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError
from infisical_iac.core.rendering import template
from infisical_iac.core.wording import join_names
from infisical_iac.migrate.apply import State
from infisical_iac.migrate.findings import TORN
from infisical_iac.migrate.model import Name
from infisical_iac.migrate.plan_file import MigrationPlan, PlannedKey, PlannedSource, digest, encode
from infisical_iac.migrate.verify import Expected, Proof

REPORT = "migration-report"

STATES: Mapping[State, str] = {
    "written": "written",
    "overwritten": "overwritten",
    "there": "there already",
    "kept": "kept as Infisical has it",
    "pending": "waiting for approval",
}
"""The meaning of each state, as words that follow a number."""

# The kinds of findings on values with several readings, one of which a person has chosen.
_DISPUTED = frozenset({"grammars-disagree", "undefined-reference"})

Outcome = Literal["proven", "pending", "differs"]


def outcome(proofs: Sequence[Proof], states: Mapping[Name, State]) -> Outcome:
    """Return `differs` if a secret differs, else `pending` if one waits, else `proven`."""
    waiting = {name for name, state in states.items() if state == "pending"}
    if any(not each.holds for each in proofs if each.secret.name not in waiting):
        return "differs"
    return "pending" if waiting else "proven"


def build(
    plan: MigrationPlan,
    proofs: Sequence[Proof],
    states: Mapping[Name, State],
    *,
    key: bytes,
    at: str,
    note: str = "",
) -> dict[str, Any]:
    """Return the report's data.

    Args:
        at: the time at which the values were read back.
        note: a sentence on a check that was impossible.
    """
    secrets = [_secret(each, states[each.secret.name], key) for each in proofs]
    waiting = {name for name, state in states.items() if state == "pending"}
    proven = {each.secret.name for each in proofs if each.holds} - waiting
    return {
        "schema_version": 1,
        "at": at,
        "project": plan.project,
        "root": plan.root,
        "outcome": outcome(proofs, states),
        "note": note,
        "counts": dict(Counter(each["state"] for each in secrets)),
        "differences": [each for each in secrets if not each["holds"]],
        "as_decided": list(_chosen_readings(plan)),
        "secrets": secrets,
        "skipped": list(_skipped_keys(plan)),
        "sources": [_source(each, proven) for each in plan.present_sources],
        "deleted": [_source(each, ()) for each in plan.deleted_sources],
    }


def write(data: Mapping[str, Any], directory: Path) -> list[Path]:
    """Write the report as JSON and as a self-contained page.

    Raises FileError if it can't be written.
    """
    texts = {
        f"{REPORT}.json": text_of(data),
        f"{REPORT}.html": template(
            f"{REPORT}.html", report=data, states=STATES, left_out=count_skipped(data["skipped"])
        ),
    }
    try:
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(
            f"{error.filename} can't be written ({error.strerror}); what is in Infisical is not "
            "affected: make room, then apply again"
        ) from None
    return [directory / name for name in texts]


def text_of(data: Mapping[str, Any]) -> str:
    """Return the report as JSON."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _secret(proof: Proof, state: State, key: bytes) -> dict[str, Any]:
    secret = proof.secret
    return {
        **secret.name._asdict(),
        "file": secret.file,
        "line": secret.line,
        "length": len(encode(secret.value)),
        "digest": digest(key, secret.value),
        "state": state,
        "read_back": proof.plain,
        "difference": proof.difference,
        "expanded": proof.expanded,
        "is_literal": secret.is_literal,
        "holds": proof.holds,
    }


def _source(source: PlannedSource, proven: Collection[Name]) -> dict[str, Any]:
    """Return a file, and whether all that is stored of it is proven.

    A torn value is not stored in full, so its file is never verified.
    """
    keys = [*source.stored_keys]
    names = {Name(*source.target, each) for each in keys}
    found = (*source.findings, *(one for each in source.keys.values() for one in each.findings))
    is_torn = any(each.kind == TORN for each in found)
    return {
        "path": source.path,
        "digest": source.digest,
        "service": source.service,
        "environment": source.environment,
        "verified": bool(names) and names.issubset(proven) and not is_torn,
        "keys": keys,
        "skipped": [name for name in source.keys if name not in keys],
    }


def _chosen_readings(plan: MigrationPlan) -> Iterator[dict[str, Any]]:
    """Yield the stored values that other programs read differently, with the chosen grammar."""
    for source in plan.present_sources:
        for name, key in source.stored_keys.items():
            if not _DISPUTED.isdisjoint(_kinds(key)):
                place = {"file": source.path, "line": key.line, "key": name}
                yield {**place, "grammar": source.grammar, "length": key.length}


def _skipped_keys(plan: MigrationPlan) -> Iterator[dict[str, Any]]:
    for source in plan.present_sources:
        if source.decision == "skip":
            yield {"file": source.path, "line": 0, "key": "", "kinds": _kinds(source)}
        else:
            for name, each in source.keys.items():
                if each.decision == "skip":
                    place = {"file": source.path, "line": each.line, "key": name}
                    yield {**place, "kinds": _kinds(each)}


def count_skipped(skipped: Collection[Mapping[str, Any]]) -> str:
    """Return the numbers of skipped keys and of files that are skipped as a whole."""
    files = sum(not each["key"] for each in skipped)
    counts = ((len(skipped) - files, "key"), (files, "whole file"))
    named = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in counts if n]
    return join_names(named)


def _kinds(of: PlannedSource | PlannedKey) -> list[str]:
    return [each.kind for each in of.findings]


VERIFIED_AT = "%Y-%m-%dT%H:%M:%SZ"
"""The format of the time."""


def mark_verified(directory: Path, expected: Mapping[Name, Expected], at: datetime | None) -> None:
    """Write the time of the verification into the report in a directory, if there is one.

    Args:
        expected: the secrets that were verified. A report with further secrets, such as those of an
            earlier plan, is not verified.
        at: None if the secrets differ, which removes an earlier time.

    Raises FileError if the report can't be read or written.
    """
    file = directory / f"{REPORT}.json"
    try:
        data = json.loads(file.read_bytes())
        digests = {name: each.digest for name, each in expected.items()}
        is_all = all(
            digests.get(Name(each["environment"], each["folder"], each["key"])) == each["digest"]
            for each in data["secrets"]
        )
        data["verified_at"] = at.strftime(VERIFIED_AT) if at and is_all else ""
        atomic.write(file, text_of(data))
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileError(
            f"{file} can't be read or written ({error.strerror}): check who owns it"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise FileError(f"{file} is not as migrate apply writes it: apply again") from None
