"""Test that a service's release of Node decides which release's grammar reads its files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.migrate import plan_file
from infisical_iac.migrate.evidence import newest_releases
from infisical_iac.migrate.model import Source
from infisical_iac.migrate.planning import CHOSEN, apply_chosen_grammars, make
from infisical_iac.migrate.sources import scan_all
from tests.unit.migrate.trees import WORKSPACE, choose, node, plant

OF_20, OF_22 = "node-env-file", "node-env-file-22"
_RUN = {"a/run.sh": "node --env-file=.env main.js", "a/package.json": node()}
_KEY = b"fake"

_SETUP_NODE = """
jobs:
  test:
    strategy: {{matrix: {{node: {versions}}}}}
    steps:
      - uses: actions/setup-node@v4
        with: {{node-version: "${{{{ matrix.node }}}}"}}
"""


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a/Dockerfile", "FROM node:20-alpine\n", OF_20),
        ("a/Dockerfile", "FROM node:22 AS build\nFROM node:20-slim\nCOPY --from=build . .", OF_20),
        ("a/Dockerfile", "ARG V=22\nFROM --platform=x mirror.example.com/a/node:${V}-slim", OF_22),
        ("a/Dockerfile", "FROM node:${V:-20}\n", OF_20),
        ("a/Dockerfile", "FROM node:20 AS build\nFROM gcr.io/x/nodejs22-debian12\n", OF_22),
        ("a/Dockerfile", "FROM node:24 AS build\nFROM nginx:1\n", OF_22),
        ("a/Dockerfile", "FROM node:iron-slim\n", OF_20),
        ("a/docker/api.Dockerfile", "from node:20\n", OF_20),
        ("Dockerfile", "FROM node:20@sha256:0123\n", OF_20),
        ("a/.nvmrc", "# ours\nv22.12.0\n", OF_20),
        (".nvmrc", "lts/jod\n", OF_22),
        (".node-version", "24.1.0", OF_22),
        (".node-version", "23", OF_20),
        ("a/package.json", node(engines={"node": ">=20 <21"}), OF_20),
        ("a/package.json", node(engines={"node": "^22.1.0 || >=24"}), OF_22),
        (".github/workflows/ci.yml", _SETUP_NODE.format(versions="[20.x]"), OF_20),
        (".github/workflows/ci.yml", "a: [{with: {node-version: 22.10}}]", OF_20),
        (".github/workflows/ci.yml", "jobs: {a: {container: 'node:24'}}", OF_22),
        (".gitlab-ci.yml", "image: node:20\n", OF_20),
        (".gitlab-ci.yml", "test: {image: {name: 'node:22'}}\n", OF_22),
        (".circleci/config.yml", "docker: [{image: 'cimg/node:20.1'}]\n", OF_20),
    ],
)
def test_a_sign_of_one_release_decides(path: str, text: str, expected: str) -> None:
    choice = choose("a/.env", {**_RUN, path: text})
    assert choice.evidence.grammar == expected
    assert choice.others == ()
    assert choice.release
    assert path in choice.release.why


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a/package.json", node(engines={"node": ">=20"})),
        (".github/workflows/ci.yml", _SETUP_NODE.format(versions="[20, 22, 24]")),
        ("a/.nvmrc", "lts/*"),
        ("a/.nvmrc", ""),
        ("a/Dockerfile", "FROM node:lts\nFROM python:3.13\n"),
        ("a/package.json", "["),
        (".github/workflows/ci.yml", "node: ["),
        ("b/.nvmrc", "20"),
    ],
)
def test_without_a_sign_of_one_release_the_newest_is_taken(path: str, text: str) -> None:
    choice = choose("a/.env", {**_RUN, path: text})
    assert (choice.evidence.grammar, choice.others) == (OF_22, (OF_20,))


def test_the_image_wins_over_other_signs_that_disagree_and_both_are_named() -> None:
    files = {
        **_RUN,
        "a/Dockerfile": "FROM node:20",
        ".nvmrc": "22",
        ".gitlab-ci.yml": "image: node",
    }
    choice = choose("a/.env", files)
    assert (choice.evidence.grammar, choice.others) == (OF_20, (OF_22,))
    assert choice.release
    assert {"node:20,", "22"} <= {*choice.release.why.split()}


def test_the_nearest_file_of_a_kind_counts() -> None:
    files = {**_RUN, "a/.nvmrc": "20", ".nvmrc": "22", "a/b/package.json": node(), "b/.nvmrc": "22"}
    assert choose("a/.env", files).evidence.grammar == OF_20
    at_root = choose(".env", {"b/.nvmrc": "20", "run.sh": "node --env-file .env x.js"})
    assert at_root.evidence.grammar == OF_20


def test_the_release_decides_about_the_parser_of_vite_too() -> None:
    files = {"a/package.json": node("vite")}
    assert choose("a/.env", {**files, ".nvmrc": "20"}).evidence.loader == "vite-8"
    assert choose("a/.env", {**files, ".nvmrc": "22"}).evidence.loader == "vite-8-node-22"


def test_a_release_is_no_evidence_of_a_loader() -> None:
    choice = choose("a/.env", {"a/package.json": node("dotenv"), ".nvmrc": "20"})
    assert (choice.evidence.grammar, choice.others, choice.release) == ("dotenv", (), None)
    unknown = choose("a/.env", {".nvmrc": "20"})
    assert OF_20 in unknown.others
    assert OF_22 not in unknown.others


@pytest.mark.parametrize(
    ("written", "releases"),
    [
        ("22", [(22, 999)]),
        ("v22.16.1", [(22, 16)]),
        ("~22.12", [(22, 12)]),
        (">20 <=24", [(22, 999), (24, 999)]),
        (">= 20.19.0 <22", [(20, 999)]),
        ("20 - 22", [(20, 999), (22, 999)]),
        ("<22.16 >=22", [(22, 15)]),
        ("23.x", [(23, 999)]),
        ("18 || 20", [(18, 999), (20, 999)]),
        ("node", []),
        ("22,24", []),
        ("=", []),
    ],
)
def test_a_range_allows_the_newest_of_each_major_release(
    written: str, releases: list[tuple[int, int]]
) -> None:
    assert [*newest_releases(written)] == releases


@given(st.text("0123456789.x*^~<>=|- v", max_size=12))
def test_any_text_is_a_range_or_none(written: str) -> None:
    assert all(len(each) == 2 for each in newest_releases(written))


_DIFFERS = "A= \nB=fake\n"


def _scan(root: Path, text: str, **more: str) -> Source:
    files = {"backend/run.sh": "node --env-file=.env main.js", "backend/.env": text}
    plant(root, {**files, **{f"backend/{name}": content for name, content in more.items()}})
    (source,) = scan_all([root], WORKSPACE)
    return source


def test_nothing_is_printed_where_the_releases_read_a_file_alike(tmp_path: Path) -> None:
    source = _scan(tmp_path, "# ours\nexport A=fake\nB='two words' # note\n")
    assert (source.reason, source.release) == (source.why, "")
    assert source.findings == ()


def test_a_known_release_is_the_reason_where_it_matters(tmp_path: Path) -> None:
    source = _scan(tmp_path, _DIFFERS, Dockerfile="FROM node:20\n")
    assert source.reason.endswith("backend/Dockerfile says node:20")
    assert source.reading.values == {"A": "", "B": "fake"}
    assert "uncertain-release" not in {each.kind for each in source.findings}


def test_an_unknown_release_is_reported_with_its_choice_where_it_matters(tmp_path: Path) -> None:
    source = _scan(tmp_path, _DIFFERS)
    assert source.reading.values == {"A": "B=fake"}
    found = {each.kind: each for each in source.findings}
    assert "nothing says which release" in found["uncertain-release"].message
    assert f"`grammar: {OF_20}`" in found["uncertain-release"].remedy
    assert found["grammars-disagree"].blocking
    assert found["glued-value"].blocking


def _plan(root: Path, source: Source, **changes: str) -> plan_file.MigrationPlan:
    made = make([source], project="abcde", root=".", key=_KEY)
    changed = made.sources[0].model_copy(update=changes)
    return made.model_copy(update={"sources": (changed,)})


def _again(root: Path, source: Source, earlier: plan_file.MigrationPlan) -> Source:
    (read,) = apply_chosen_grammars([source], earlier, root, WORKSPACE)
    return read


def test_a_plan_of_an_earlier_version_does_not_choose_node_20(tmp_path: Path) -> None:
    """It had one grammar for all releases, and did not say which release it is."""
    source = _scan(tmp_path, _DIFFERS, Dockerfile="FROM node:22\n")
    earlier = _plan(tmp_path, source, grammar=OF_20, release="")
    assert _again(tmp_path, source, earlier) == source


def test_another_grammar_chosen_in_a_plan_of_an_earlier_version_stays(tmp_path: Path) -> None:
    source = _scan(tmp_path, _DIFFERS, Dockerfile="FROM node:22\n")
    earlier = _plan(tmp_path, source, grammar="dotenv", release="")
    read = _again(tmp_path, source, earlier)
    assert (read.grammar, read.why, read.release) == ("dotenv", CHOSEN, "")


def test_the_release_chosen_in_a_plan_stays_until_other_evidence_contradicts_it(
    tmp_path: Path,
) -> None:
    source = _scan(tmp_path, _DIFFERS, Dockerfile="FROM node:22\n")
    chosen = _plan(tmp_path, source, grammar=OF_20)
    assert _again(tmp_path, source, chosen).grammar == OF_20
    moved = replace(source, grammar=OF_20, release="backend/Dockerfile says node:20")
    assert _again(tmp_path, moved, _plan(tmp_path, source)).grammar == OF_20


def test_a_plan_without_a_release_is_read(tmp_path: Path) -> None:
    source = _scan(tmp_path, _DIFFERS)
    made = json.loads(_plan(tmp_path, source).model_dump_json())
    del made["sources"][0]["release"]
    assert plan_file.MigrationPlan.model_validate_json(json.dumps(made)).sources[0].release == ""
