"""Test the grammar that packages of its directory determine for a file."""

import json

import pytest

from infisical_iac.dotenv import GRAMMARS
from tests.unit.migrate.trees import choose, node


@pytest.mark.parametrize(
    ("names", "grammar"),
    [
        (["dotenv"], "dotenv"),
        (["dotenv", "dotenv-expand"], "dotenv-expand"),
        (["next", "dotenv"], "next"),
        (["@next/env", "dotenv"], "next"),
        (["vite"], "dotenv-expand"),
        (["@nestjs/config"], "dotenv"),
        (["astro"], "dotenv-expand"),
        (["dotenv-flow", "dotenv"], "dotenv"),
        (["@dotenvx/dotenvx", "dotenv"], "dotenv"),
        (["@nestjs/config", "react-scripts"], "dotenv-expand"),
    ],
)
def test_a_node_package_determines_the_grammar(names: list[str], grammar: str) -> None:
    choice = choose("backend/.env", {"backend/package.json": node(*names)})
    assert choice.evidence.grammar == grammar
    file, *_, package = choice.evidence.why.partition(",")[0].split()
    assert file == "backend/package.json"
    assert package in names


@pytest.mark.parametrize("name", ["react-scripts", "nuxt", "env-cmd"])
def test_a_package_with_its_own_parser_leaves_all_grammars_plausible(name: str) -> None:
    choice = choose("a/.env", {"a/package.json": node(name)})
    assert not choice.evidence.exact
    assert {choice.evidence.grammar, *choice.others} == {*GRAMMARS}


@pytest.mark.parametrize(
    ("names", "loader"),
    [
        (["vite"], "vite-8-node-22"),
        (["@sveltejs/kit", "dotenv"], "vite-8-node-22"),
        (["nuxt", "vite"], ""),
        (["dotenv", "dotenv-flow"], "dotenv-flow"),
        (["react-scripts"], "react-scripts"),
        (["@next/env"], "next"),
        (["next", "@next/env"], "next"),
        (["dotenv"], ""),
    ],
)
def test_a_package_determines_whether_several_files_are_read(names: list[str], loader: str) -> None:
    choice = choose("a/.env", {"a/package.json": node(*names)})
    assert choice.evidence.loader == loader
    locked = json.dumps({"packages": {f"node_modules/{each}": {} for each in names}})
    assert choose("a/.env", {"a/package-lock.json": locked}).evidence.loader == loader


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", "flask\npython-dotenv==1.2.4 # loads .env\n"),
        ("requirements-dev.txt", "Python_Dotenv>=1\n"),
        ("pyproject.toml", '[project]\ndependencies = ["pydantic-settings[yaml]>=2"]\n'),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython-dotenv = "^1"\n'),
        ("Pipfile", '[packages]\nenvirons = "*"\n'),
    ],
)
def test_a_python_package_determines_the_grammar(name: str, text: str) -> None:
    choice = choose("a/.env", {f"a/{name}": text})
    assert (choice.evidence.grammar, choice.others) == ("python-dotenv", ())
    assert choice.evidence.why.startswith(f"a/{name} depends on ")


@pytest.mark.parametrize("text", ["# python-dotenv\n", "my-python-dotenv\n", "python-dotenv-x\n"])
def test_a_similar_name_or_a_comment_is_not_evidence(text: str) -> None:
    assert "nothing says" in choose(".env", {"requirements.txt": text}).evidence.why


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("package-lock.json", '{"packages": {"node_modules/dotenv": {"version": "17.0.0"}}}'),
        ("yarn.lock", "dotenv@^16.0.0:\n  version 16.0.0\n"),
        ("yarn.lock", '"dotenv@npm:^16.0.0":\n  version: 16.0.0\n'),
        ("pnpm-lock.yaml", "packages:\n  dotenv@16.0.0:\n    resolution: {}\n"),
        ("pnpm-lock.yaml", "packages:\n  '/dotenv@16.0.0':\n    resolution: {}\n"),
    ],
)
def test_a_package_that_another_package_requires_is_found_in_a_lock_file(
    name: str, text: str
) -> None:
    choice = choose("a/.env", {name: text, "a/package.json": node("express")})
    assert choice.evidence.grammar == "dotenv"
    assert {name, "dotenv,", "brings"} <= {*choice.evidence.why.split()}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", '[[package]]\nname = "python-dotenv"\nversion = "1"\n'),
        ("Pipfile.lock", '{"default": {"python-dotenv": {"version": "==1"}}}'),
    ],
)
def test_a_lock_file_of_python_is_read_too(name: str, text: str) -> None:
    assert choose(".env", {name: text}).evidence.grammar == "python-dotenv"


def test_a_manifest_takes_precedence_over_a_lock_file_in_its_directory() -> None:
    lock = '{"packages": {"node_modules/dotenv-expand": {}}}'
    files = {"package.json": node("dotenv"), "package-lock.json": lock}
    assert choose(".env", files).evidence.grammar == "dotenv"
    assert choose(".env", files).others == ()


def test_the_nearest_directory_with_a_loader_counts() -> None:
    files = {"package.json": node("dotenv-expand"), "a/package.json": node("next")}
    assert choose("a/b/.env", files).evidence.grammar == "next"
    assert choose("c/.env", {**files, "c/package.json": node()}).evidence.grammar == "dotenv-expand"


def test_packages_in_subdirectories_count_if_no_parent_directory_has_any() -> None:
    files = {"a/package.json": node("dotenv"), "b/requirements.txt": "python-dotenv"}
    choice = choose(".env", files)
    assert (choice.evidence.grammar, choice.others) == ("dotenv", ("python-dotenv",))


def test_two_languages_in_one_directory_are_both_plausible() -> None:
    files = {"package.json": node("dotenv"), "requirements.txt": "python-dotenv"}
    assert choose(".env", files).others == ("python-dotenv",)
