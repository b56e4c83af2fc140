"""Test the report of a migration: its outcome, its verified files, and that it has no value."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.cli import migrate_apply
from infisical_iac.core.errors import UserError
from infisical_iac.migrate import report
from infisical_iac.migrate.apply import State
from infisical_iac.migrate.model import Secret
from infisical_iac.migrate.plan_file import MigrationPlan, PlannedFinding, PlannedKey
from infisical_iac.migrate.verify import Proof
from tests.unit.migrate.moving import planned_source, secret

_KEY = b"k" * 32
_VALUE = "fake-value"


def _plan_key(decision: str = "store") -> PlannedKey:
    return PlannedKey.model_validate(
        {"line": 3, "length": 10, "digest": "0123456789ab", "decision": decision}
    )


def _plan(**keys: str) -> MigrationPlan:
    planned = {key: _plan_key(decision) for key, decision in keys.items()}
    source = planned_source(planned, path="<backend>/.env")
    return MigrationPlan(project="chainalign", root="..", sources=(source,))


def _build(proofs: list[Proof], state: State = "written", **keys: str) -> dict[str, Any]:
    states = {each.secret.name: state for each in proofs}
    plan = _plan(**(keys or {each.secret.name.key: "store" for each in proofs}))
    return report.build(plan, proofs, states, key=_KEY, at="2026-11-25T15:00:00Z")


def _differs(one: Secret) -> Proof:
    return Proof(one, "differs", "differs", "its end is missing")


@pytest.mark.parametrize(
    ("proof", "state", "outcome"),
    [
        (Proof(secret(), "same", "same"), "written", "proven"),
        (Proof(secret(), "same", "same"), "there", "proven"),
        (_differs(secret()), "written", "differs"),
        (_differs(secret()), "kept", "differs"),
        (Proof(secret(), "missing"), "pending", "pending"),
    ],
)
def test_a_report_has_the_outcome_of_its_proofs(proof: Proof, state: State, outcome: str) -> None:
    built = _build([proof], state)
    assert built["outcome"] == outcome
    assert built["sources"][0]["verified"] is (outcome == "proven")


def test_a_difference_outweighs_a_pending_secret() -> None:
    waiting, other = secret("A"), secret("B")
    states: dict[Any, State] = {waiting.name: "pending", other.name: "written"}
    assert report.outcome([Proof(waiting, "missing"), _differs(other)], states) == "differs"


def test_a_file_is_verified_once_all_its_stored_keys_are_proven() -> None:
    proofs = [Proof(secret("A"), "same", "same"), Proof(secret("B"), "same", "same")]
    (source,) = _build(proofs, A="store", B="store-literal", C="skip")["sources"]
    assert (source["verified"], source["keys"], source["skipped"]) == (True, ["A", "B"], ["C"])
    (source,) = _build(proofs[:1], A="store", B="store")["sources"]
    assert source["verified"] is False


@pytest.mark.parametrize("decision", ["store", "skip"])
def test_a_file_with_a_torn_value_is_never_verified(decision: str) -> None:
    finding = PlannedFinding(line=3, kind="torn-value", message="it is torn", remedy="quote it")
    torn = _plan_key(decision).model_copy(update={"findings": (finding,)})
    plan = _plan(A="store")
    plan.sources[0].keys["B"] = torn
    proofs = [Proof(secret(each), "same", "same") for each in ("A", "B")]
    states: dict[Any, State] = {each.secret.name: "written" for each in proofs}
    (source,) = report.build(plan, proofs, states, key=_KEY, at="")["sources"]
    assert source["verified"] is False


def test_a_file_without_stored_keys_is_never_verified() -> None:
    (source,) = _build([], C="skip")["sources"]
    assert source["verified"] is False


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_both_report_files_have_no_value_and_the_page_loads_no_other_file(
    tmp_path: Path,
) -> None:
    proofs = [Proof(secret(), "same", "same"), _differs(secret("B<script>", _VALUE))]
    data = _build(proofs, FAKE="store", SKIPPED="skip")
    page, output = (file.read_text("utf-8") for file in sorted(report.write(data, tmp_path)))
    assert json.loads(output) == data
    parser = _Text()
    parser.feed(page)
    assert "script" not in parser.tags
    assert parser.links == []
    assert "&lt;script&gt;" in page
    assert "&lt;backend&gt;/.env" in page
    for text in (page, output):
        assert _VALUE not in text


def test_a_directory_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be written"):
        report.write(_build([]), tmp_path / "missing")


@pytest.mark.parametrize("kind", ["grammars-disagree", "undefined-reference"])
def test_a_value_with_several_readings_is_reported_with_the_decided_reading(kind: str) -> None:
    proofs = [Proof(secret("A"), "same", "same"), Proof(secret("B"), "same", "same")]
    plan = _plan(A="store", B="store", C="skip")
    found = (PlannedFinding(line=3, kind=kind, message="It is odd.", remedy="Look."),)
    keys = plan.sources[0].keys
    disputed = {each: keys[each].model_copy(update={"findings": found}) for each in ("A", "C")}
    source = plan.sources[0].model_copy(update={"keys": {**keys, **disputed}})
    plan = plan.model_copy(update={"sources": (source,)})
    states: dict[Any, State] = {each.secret.name: "written" for each in proofs}
    built = report.build(plan, proofs, states, key=_KEY, at="2026-11-25T15:00:00Z")
    assert [(each["key"], each["grammar"]) for each in built["as_decided"]] == [("A", "dotenv")]
    output = [*migrate_apply._lines(plan, built)]
    summary = next(line for line in output if line.startswith("✓"))
    assert summary.startswith("✓ 2 of 2 secrets ")
    assert summary.endswith("chainalign: 1 byte for byte, 1 as decided")
    (choice,) = [line for line in output if "<backend>/.env:3 A: 10 bytes" in line]
    assert "as dotenv reads it" in choice


def test_values_without_several_readings_are_all_reported_as_proven() -> None:
    built = _build([Proof(secret(), "same", "same")])
    output = [*migrate_apply._lines(_plan(FAKE="store"), built)]
    assert built["as_decided"] == []
    assert output[-1].startswith("✓ 1 of 1 ")
    assert output[-1].endswith(" chainalign")
