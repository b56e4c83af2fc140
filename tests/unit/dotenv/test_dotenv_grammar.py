"""Test that a grammar is one class in one module, which all other code uses."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import infisical_iac
from infisical_iac.dotenv import GRAMMARS, all_grammars, grammar
from infisical_iac.dotenv.grammar import Release

_TOY = """
import re
from infisical_iac.dotenv import Entry, Grammar
from infisical_iac.dotenv.grammar import FILE, Cascade, Command, Package
from infisical_iac.dotenv.grammar import NODE


class Toy(Grammar):
    name = "toy"
    place = 99
    packages = {NODE: (Package("toy-env", rank=-1, cascade="toys", brings=("dotenv",)),)}
    node_calls = (("toys", "read"),)
    mentions = (r"\\btoys[.]read\\b",)
    commands = (Command(re.compile(rf"\\btoy\\s+{FILE}"), "gives it to toy", rank=-1),)
    file_names = {".env.toy": "toys read their own"}
    cascades = {"toys": Cascade("Toys", (".env", ".env.toys"), "as-written")}

    def parse(self, text, environ):
        lines = enumerate(text.text.splitlines(), 1)
        pairs = [(number, *line.partition(":")[::2]) for number, line in lines]
        return [Entry(key, value, "", at, at, "", value) for at, key, value in pairs]

    def order(self, values):
        return dict(reversed(values.items()))
"""
_USE = """
from infisical_iac.dotenv import GRAMMARS, read
assert GRAMMARS[-1] == "toy"
assert list(read(b"A:1\\r\\nB:2", "toy").values.items()) == [("B", "2"), ("A", "1")]

from tests.unit.migrate.trees import choose, node
from infisical_iac.migrate import cascades
package = choose("a/.env", {"a/package.json": node("dotenv", "toy-env")})
assert (package.evidence.grammar, package.others) == ("toy", ()), package
assert cascades.is_read(package.evidence.loader, ".env.toys")
line = choose("a/.env", {"a/run.sh": "toy .env", "a/package.json": node()})
assert line.evidence.why == "a/run.sh gives it to toy", line
assert choose("a/.env.toy", {}).evidence.why == "toys read their own"
called = choose("a/.env", {"a/package.json": node(), "a/main.js": "toys.read(x)"})
assert called.evidence.why == "a/main.js calls toys.read", called
assert "toy" in choose("a/.env", {}).others

from infisical_iac.migrate import cleaning
assert cleaning.matches(b"toys.read(x)", cleaning.pattern(["a/.env"])) == [(1, "toys.read")]
"""


def test_a_module_with_a_class_is_all_that_a_grammar_needs(tmp_path: Path) -> None:
    """The module is put into a copy of the package, which is otherwise unchanged."""
    package, root = Path(infisical_iac.__path__[0]), Path(__file__).resolve().parents[3]
    shutil.copytree(package, tmp_path / "infisical_iac", ignore=lambda *_: ["__pycache__"])
    (tmp_path / "templates").symlink_to(root / "templates")
    toy = tmp_path / "infisical_iac" / "dotenv" / "grammars" / "toy.py"
    toy.write_text(_TOY, encoding="utf-8")
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    command = [sys.executable, "-c", _USE]
    subprocess.run(command, env=os.environ | path, cwd=tmp_path, check=True)


def test_the_grammars_keep_the_names_that_plans_contain() -> None:
    """Plans and options name the grammars; the first one is for files without evidence."""
    assert (
        *("dotenv", "dotenv-expand", "next", "node-env-file", "python-dotenv"),
        *("python-dotenv-raw", "compose", "shell", "node-env-file-22"),
    ) == GRAMMARS


def test_the_page_on_migrations_has_a_row_for_each_grammar_and_each_cascade() -> None:
    text = Path("docs/develop/migrate.md").read_text()
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    assert [name for name in GRAMMARS if f"`{name}`" not in rows] == []
    titles = {cascade.title for each in all_grammars() for cascade in each.cascades.values()}
    assert [title for title in sorted(titles) if title not in rows] == []


def test_no_two_grammars_have_the_same_name_place_or_cascade() -> None:
    names = [each.name for each in all_grammars()]
    places = [each.place for each in all_grammars()]
    cascades = [name for each in all_grammars() for name in each.cascades]
    assert len({*names}) == len(names)
    assert len({*places}) == len(places)
    assert len({*cascades}) == len(cascades)


def test_a_grammar_names_only_known_cascades_and_parsers() -> None:
    for each in all_grammars():
        packages = [package for some in each.packages.values() for package in some]
        earlier = {package.earlier[1] for package in packages if package.earlier}
        named = {package.cascade for package in packages} | earlier
        assert named - {""} <= each.cascades.keys()
        parsers = {cascade.parser for cascade in each.cascades.values()}
        assert parsers | {each.uninterpolated or each.name} <= {*GRAMMARS}


def test_grammars_of_releases_are_known_and_in_order() -> None:
    for each in all_grammars():
        assert {name for _, name in each.by_release} <= {*GRAMMARS}
        assert [*each.by_release] == sorted(each.by_release)


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ((20, 20), "node-env-file"),
        ((22, 15), "node-env-file"),
        ((22, 16), "node-env-file-22"),
        ((23, 11), "node-env-file"),
        ((24, 0), "node-env-file-22"),
        ((26, 12), "node-env-file-22"),
    ],
)
def test_a_release_of_node_reads_by_its_own_grammar(release: Release, name: str) -> None:
    """The real parsers of these releases changed between 22.15.1 and 22.16.0, and in 24.0.0."""
    assert grammar("node-env-file").of_release(release) == name


@pytest.mark.parametrize(
    ("name", "ordered"),
    [
        ("dotenv", ["1", "2", "10", "b", "a", "01"]),
        ("node-env-file", ["1", "2", "10", "01", "a", "b"]),
        ("compose", ["01", "1", "10", "2", "a", "b"]),
        ("python-dotenv", ["b", "10", "2", "a", "01", "1"]),
        ("shell", ["b", "10", "2", "a", "01", "1"]),
    ],
)
def test_values_come_in_the_order_of_the_programs_own_maps(name: str, ordered: list[str]) -> None:
    """JavaScript puts indices first, Go and C++ sort keys, and others keep the file's order."""
    values = dict.fromkeys(["b", "10", "2", "a", "01", "1"], "")
    assert [*grammar(name).order(values)] == ordered
