"""Test loaders that read several files by mode: which file counts, and how references resolve.

The values are those that the loaders themselves gave for these files: Next.js 16, Vite 8,
react-scripts 5 and dotenv-flow 4, in development.
"""

import json
from pathlib import Path

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.migrate import planning
from infisical_iac.migrate.plan_file import MigrationPlan
from infisical_iac.migrate.sources import scan_all
from tests.unit.migrate.modes import KEY, list_findings, make_plan, scan, tree
from tests.unit.migrate.trees import WORKSPACE, plant

FILES = {
    ".env": "LATER=later\nHOST=base\nURL=http://$HOST/$ONLY/$LATER\nA=env\n",
    ".env.local": "ONLY=lo\nREF=$LATER-$HOST\nA=local\n",
    ".env.development": "HOST=dev\nA=mode\nSEEN=$LATER\n",
    ".env.development.local": "A=modelocal\n",
}
ALL_SEEN = {
    "HOST": "dev",
    "URL": "http://dev/lo/later",
    "LATER": "later",
    "A": "modelocal",
    "ONLY": "lo",
    "REF": "later-dev",
    "SEEN": "later",
}
VALUES = {
    "vite": ALL_SEEN,
    "next": ALL_SEEN | {"REF": "-", "SEEN": ""},
    "react-scripts": ALL_SEEN | {"REF": "-", "SEEN": ""},
    "dotenv-flow": ALL_SEEN
    | {"URL": "http://$HOST/$ONLY/$LATER", "REF": "$LATER-$HOST", "SEEN": "$LATER"},
}


def _decide_store(plan: MigrationPlan) -> MigrationPlan:
    """Return the plan with `store` for each undecided file and key."""
    data = plan.model_dump()
    for source in data["sources"]:
        source["decision"] = source["decision"].replace("undecided", "store")
        for key in source["keys"].values():
            key["decision"] = key["decision"].replace("undecided", "store")
    return MigrationPlan.model_validate(data)


@pytest.mark.parametrize("package", VALUES)
def test_an_environment_gets_the_values_that_the_loader_gives_to_the_program(
    package: str, tmp_path: Path
) -> None:
    sources = scan(tmp_path, package, FILES)
    secrets = planning.read_values(_decide_store(make_plan(sources)), tmp_path, KEY, WORKSPACE)
    assert {each.name.key: each.value for each in secrets} == VALUES[package]
    assert {each.name.environment for each in secrets} == {"development"}


@pytest.mark.parametrize("package", ["vite", "astro", "next", "dotenv-flow"])
def test_a_mode_reads_the_file_of_all_modes_and_no_local_file(package: str, tmp_path: Path) -> None:
    files = {
        ".env": "HOST=base\nURL=fake-$HOST\n",
        ".env.local": "HOST=mine\nURL=mine\n",
        ".env.production": "HOST=live\nURL=\n",
    }
    sources = scan(tmp_path, package, files)
    assert sources[".env.production"].overridden == frozenset()
    assert sources[".env.production"].reading.values["HOST"] == "live"
    assert sources[".env"].overridden == {"HOST", "URL"}


def test_vite_prefers_the_file_of_a_mode_and_next_the_local_file(tmp_path: Path) -> None:
    files = {".env.local": "A=fake-local\n", ".env.development": "A=fake-mode\n"}
    by_vite = scan(tmp_path / "vite", "vite", files)
    by_next = scan(tmp_path / "next", "next", files)
    assert list(list_findings(by_vite, "overridden")) == [".env.local"]
    assert list(list_findings(by_next, "personal-override")) == [".env.development"]
    assert not list_findings(by_vite, "same-target") | list_findings(by_next, "same-target")


def test_an_overridden_key_is_skipped_and_keeps_its_own_value(tmp_path: Path) -> None:
    files = {".env": "A=fake-one\nB=fake\n", ".env.development": "A=fake-two\nB=fake\n"}
    sources = scan(tmp_path, "vite", files)
    plan = make_plan(sources)
    assert {name: key.decision for name, key in plan.sources[0].keys.items()} == {
        "A": "skip",
        "B": "store",
    }
    assert sources[".env"].reading.values == {"A": "fake-one", "B": "fake"}
    (finding,) = list_findings(sources, "overridden")[".env"]
    assert ".env.development" in finding.message


def test_a_value_that_changes_with_another_file_is_refused(tmp_path: Path) -> None:
    files = {".env": "URL=fake-$HOST\n", ".env.local": "HOST=one\n"}
    sources = scan(tmp_path, "vite", files)
    plan = make_plan(sources)
    skipped = plan.sources[1].model_copy(update={"decision": "skip"})
    plan = plan.model_copy(update={"sources": (plan.sources[0], skipped)})
    (secret,) = planning.read_values(plan, tmp_path, KEY, WORKSPACE)
    assert secret.value == "fake-one"
    plant(tmp_path, {"backend/.env.local": "HOST=two\n"})
    with pytest.raises(UserError, match=r"^URL in backend/\.env:1 is read differently ") as raised:
        planning.read_values(plan, tmp_path, KEY, WORKSPACE)
    assert raised.value.code == "error.plan_values"


def test_references_that_expand_exponentially_make_a_file_unreadable(tmp_path: Path) -> None:
    text = "A0=x\n" + "".join(f"A{n + 1}=$A{n}$A{n}\n" for n in range(60))
    source = scan(tmp_path, "vite", {".env": text})[".env"]
    assert source.reading.values == {}
    assert [each.kind for each in source.findings if each.blocking] == ["unreadable-file"]


@pytest.mark.parametrize(
    ("package", "version", "values"),
    [
        ("vite", "^7.3.0", ["${A:-d}", "d", 'a\\"b']),
        ("vite", "~8.0.1", ["d", "d", "a\\"]),
        ("vite", "latest", ["d", "d", "a\\"]),
        ("astro", "6.4.8", ["${A:-d}", "d", 'a\\"b']),
        ("astro", ">=7", ["d", "d", "a\\"]),
    ],
)
def test_vite_8_reads_with_the_parser_of_node(
    tmp_path: Path, package: str, version: str, values: list[str]
) -> None:
    tree(tmp_path, package, {".env": 'C=$B\nB=${A:-d}\nX="a\\"b"\n'})
    plant(tmp_path, {"backend/package.json": json.dumps({"dependencies": {package: version}})})
    (source,) = scan_all([tmp_path], WORKSPACE)
    assert list(source.reading.values.values()) == values


def test_keys_are_stored_again_once_the_overriding_file_is_deleted(tmp_path: Path) -> None:
    both = {".env": "HOST=fake-base\n", ".env.local": "HOST=fake-mine\n"}
    earlier = make_plan(scan(tmp_path, "vite", both))
    assert earlier.sources[0].keys["HOST"].decision == "skip"
    (tmp_path / "backend/.env.local").unlink()
    again = planning.make(
        scan_all([tmp_path], WORKSPACE), project="abcde", root=".", key=KEY, earlier=earlier
    )
    assert again.sources[0].keys["HOST"].decision == "store"


def test_a_personal_file_is_undecided_by_default(tmp_path: Path) -> None:
    sources = scan(tmp_path, "next", {".env.local": "A=fake-mine\n", ".env": "A=fake-base\n"})
    plan = make_plan(sources)
    assert {each.path: each.decision for each in plan.sources} == {
        "backend/.env": "store",
        "backend/.env.local": "undecided",
    }
    (personal,) = list_findings(sources, "personal-file")[".env.local"]
    assert "`decision: skip`" in personal.remedy
    assert "`decision: store`" in personal.remedy
    with pytest.raises(UserError, match=r"backend/\.env\.local is undecided"):
        planning.read_values(plan, tmp_path, KEY, WORKSPACE)


def test_a_personal_file_with_only_login_variables_needs_no_decision(tmp_path: Path) -> None:
    text = "INFISICAL_CLIENT_ID=fake\nINFISICAL_CLIENT_SECRET=fake\nNODE_ENV=development\n"
    assert not list_findings(scan(tmp_path, "next", {".env.local": text}), "personal-file")


@pytest.mark.parametrize("package", ["vite", "next"])
def test_a_plan_that_skips_a_personal_file_stores_the_values_of_the_other_files(
    package: str, tmp_path: Path
) -> None:
    files = {".env": "HOST=fake-base\nURL=fake-$HOST\n", ".env.local": "HOST=fake-mine\n"}
    plan = make_plan(scan(tmp_path, package, files))
    skipped = plan.sources[1].model_copy(update={"decision": "skip"})
    earlier = plan.model_copy(update={"sources": (plan.sources[0], skipped)})
    with pytest.raises(UserError) as raised:
        planning.read_values(earlier, tmp_path, KEY, WORKSPACE)
    assert raised.value.code == "error.plan_stale"
    assert {"HOST", "backend/.env:1", "backend/.env.local,"} <= {*str(raised.value).split()}
    again = planning.make(
        scan_all([tmp_path], WORKSPACE, planning.find_left_out(earlier, tmp_path)),
        project="abcde",
        root=".",
        key=KEY,
        earlier=earlier,
    )
    assert again.sources[1].decision == "skip"
    secrets = planning.read_values(again, tmp_path, KEY, WORKSPACE)
    assert {each.name.key: each.value for each in secrets} == {
        "HOST": "fake-base",
        "URL": "fake-fake-base",
    }
