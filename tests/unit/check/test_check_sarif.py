"""Test that findings are written as SARIF 2.1.0 with what a viewer needs."""

import json
from typing import Any

from infisical_iac.check.model import CheckFinding
from infisical_iac.check.sarif import as_sarif

_SERVICES = {"backend": ["services/backend"]}
_FOLDERS = {"/backend": "backend", "/web": "web"}
_FINDINGS = [
    CheckFinding("missing-key", "services/backend/app.js:7", "TOKEN", "backend reads TOKEN."),
    CheckFinding("left-over", "/backend/OLD", "OLD", "No code uses it."),
    CheckFinding("old-value", "production/backend/OLD", "OLD", "It is old."),
    CheckFinding("tracked", "a b/.env", "", "Git tracks it."),
    CheckFinding("left-over", "/web/OLD", "OLD", "No code uses it."),
    CheckFinding("optional", "backend", "", "It also reads A.", is_note=True),
    CheckFinding("no-loader", "services/backend", "", "It has no loader."),
    CheckFinding("no-service", ".", "", "There is none."),
]


def _run(findings: list[CheckFinding]) -> dict[str, Any]:
    accepted = [(CheckFinding("not-read", "live/backend", "", "Nobody reads it."), "not yet")]
    log = as_sarif(findings, accepted, _SERVICES, _FOLDERS, "1.2.3")
    assert json.loads(json.dumps(log)) == log
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    found: dict[str, Any] = run
    return found


def test_each_finding_is_a_result_at_a_file() -> None:
    run = _run(_FINDINGS)
    at = [
        (
            each["ruleId"],
            each["level"],
            each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            each["locations"][0]["physicalLocation"]["region"]["startLine"],
            each["locations"][0].get("logicalLocations", [{}])[0].get("fullyQualifiedName", ""),
        )
        for each in run["results"]
    ]
    local = "services/backend/.infisical.json"
    assert at == [
        ("missing-key", "error", "services/backend/app.js", 7, ""),
        ("left-over", "error", local, 1, "/backend/OLD"),
        ("old-value", "error", local, 1, "production/backend/OLD"),
        ("tracked", "error", "a%20b/.env", 1, ""),
        ("left-over", "error", ".infisical-check.yaml", 1, "/web/OLD"),
        ("optional", "note", ".infisical-check.yaml", 1, ""),
        ("no-loader", "error", local, 1, ""),
        ("no-service", "error", ".infisical-check.yaml", 1, ""),
        ("not-read", "error", local, 1, "live/backend"),
    ]


def test_paths_begin_at_the_top_of_the_repository() -> None:
    (run,) = as_sarif(_FINDINGS[:2], [], _SERVICES, _FOLDERS, "1.2.3", "monorepo")["runs"]
    files = [
        each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for each in run["results"]
    ]
    own = "monorepo/services/backend"
    assert files == [f"{own}/app.js", f"{own}/.infisical.json"]


def test_each_result_refers_to_its_rule_by_index() -> None:
    run = _run(_FINDINGS)
    rules = run["tool"]["driver"]["rules"]
    assert len({each["id"] for each in rules}) == len(rules) == 8
    for each in run["results"]:
        assert rules[each["ruleIndex"]]["id"] == each["ruleId"]
        assert each["message"]["text"]
    assert run["tool"]["driver"]["semanticVersion"] == "1.2.3"
    assert all(each["shortDescription"]["text"] for each in rules)


def test_an_accepted_finding_is_suppressed_with_its_reason() -> None:
    *_, last = _run(_FINDINGS)["results"]
    (one,) = last["suppressions"]
    assert (one["kind"], one["justification"]) == ("external", "not yet")


def test_the_fingerprint_of_a_result_survives_a_changed_line_or_value() -> None:
    other = CheckFinding("missing-key", "services/backend/app.js:9", "TOKEN", "another text")
    first, second = (
        _run(each)["results"][0]["partialFingerprints"] for each in (_FINDINGS[:1], [other])
    )
    assert first == second
    prints = [str(each["partialFingerprints"]) for each in _run(_FINDINGS)["results"]]
    assert len({*prints}) == len(prints)
