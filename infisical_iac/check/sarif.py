"""Write findings as SARIF 2.1.0, for code scanning at GitHub and for other viewers.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from infisical_iac.check.model import NAME, CheckFinding, Kind
from infisical_iac.core.errors import printable
from infisical_iac.workspace import local_file

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LINE = re.compile(r"(.+):(\d+)")
_DIGITS = 32

# GitHub shows this severity, of the rules for exposed secrets, as "high".
_SEVERITIES: Mapping[Kind, str] = {
    "secret-in-file": "8.0",
    "tracked": "8.0",
    "not-ignored": "5.0",
    "weak-value": "7.0",
    "equal-value": "6.0",
    "old-value": "4.0",
}
_DESCRIPTIONS: Mapping[Kind, str] = {
    "secret-in-file": "A file holds a value that looks like a secret",
    "tracked": "Git tracks a file with secrets",
    "not-ignored": "Git or an image would include files with secrets",
    "missing-key": "Code reads a key that an environment lacks",
    "left-over": "No code uses a secret",
    "old-value": "A value is older than the project file allows",
    "equal-value": "Production shares a value with another environment",
    "weak-value": "A value could be guessed",
    "not-read": "Nobody reads a folder of secrets",
}


def as_sarif(
    findings: Sequence[CheckFinding],
    accepted: Iterable[tuple[CheckFinding, str]],
    services: Mapping[str, Sequence[str]],
    folders: Mapping[str, str],
    version: str,
    prefix: str = "",
) -> dict[str, Any]:
    """Return the findings of one run as a SARIF log.

    Accepted findings are suppressed results, and notes have the level `note`. SARIF needs a file
    for each result: a finding on a place in Infisical is at the `.infisical.json` of a service that
    reads this place.

    Args:
        services: the directories of each service, relative to the checked one.
        folders: the services by folder.
        version: the version of this tool.
        prefix: the checked directory, relative to the top of its git repository. Viewers resolve
            paths from that top.
    """
    suppressed = [*accepted]
    every = [*findings, *(each for each, _ in suppressed)]
    rules = list(dict.fromkeys(each.kind for each in every))
    at = {folder: services.get(name, ()) for folder, name in folders.items()}
    results = [_result(each, rules, at, prefix) for each in findings]
    for each, reason in suppressed:
        accepting = {"kind": "external", "justification": reason}
        results.append({**_result(each, rules, at, prefix), "suppressions": [accepting]})
    driver = {
        "name": "infisical-iac",
        "semanticVersion": version,
        "rules": [_rule(each) for each in rules],
    }
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(kind: Kind) -> dict[str, Any]:
    text = _DESCRIPTIONS.get(kind) or kind.replace("-", " ").capitalize()
    rule: dict[str, Any] = {"id": kind, "shortDescription": {"text": text}}
    if severity := _SEVERITIES.get(kind):
        rule["properties"] = {"security-severity": severity, "tags": ["security"]}
    return rule


def _result(
    finding: CheckFinding, rules: Sequence[Kind], at: Mapping[str, Sequence[str]], prefix: str
) -> dict[str, Any]:
    path, line, place = _locate(finding, at)
    # Made of names only: viewers recognize the result after its value or line has changed.
    identity = "\n".join((finding.kind, place or path, finding.key))
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(posixpath.join(prefix, path))},
            "region": {"startLine": line},
        }
    }
    if place:
        location["logicalLocations"] = [{"fullyQualifiedName": printable(place)}]
    return {
        "ruleId": finding.kind,
        "ruleIndex": rules.index(finding.kind),
        "level": "note" if finding.is_note else "error",
        "message": {"text": printable(finding.message)},
        "locations": [location],
        "partialFingerprints": {"infisicalIac/v1": sha256(identity.encode()).hexdigest()[:_DIGITS]},
    }


def _locate(finding: CheckFinding, at: Mapping[str, Sequence[str]]) -> tuple[str, int, str]:
    """Return a file of the repository, a line, and the place in Infisical or an empty string."""
    place = finding.place
    if found := _LINE.fullmatch(place):
        return found[1], int(found[2]), ""
    if any(place in homes for homes in at.values()):
        return posixpath.join(place, local_file.NAME), 1, ""
    for folder in _folders_of(place):
        if folder in at:
            home = next(iter(at[folder]), None)
            path = NAME if home is None else posixpath.join(home, local_file.NAME)
            return path, 1, place
    if place.startswith("/"):
        return NAME, 1, place
    return place if "." in posixpath.basename(place)[:-1] else NAME, 1, ""


def _folders_of(place: str) -> Iterator[str]:
    """Yield the possible folders of a place in Infisical: `/backend/KEY`, `live/backend/KEY`."""
    path = place[place.find("/") :] if "/" in place else ""
    while path and path != "/":
        yield path
        path = path.rpartition("/")[0]
