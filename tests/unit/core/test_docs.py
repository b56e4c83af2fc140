"""Test that every page of the documentation is in the index, and that every link resolves."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

from infisical_iac.host.model import SYSTEMS

ROOT = Path(__file__).parents[3]
INDEX = ROOT / "docs" / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
# Third-party files, and caches of tools.
_LEFT_OUT = {".pytest_cache", ".venv", "node_modules", "vendor"}
DOCUMENTS = sorted(
    path
    for path in chain(
        ROOT.glob("*.md"),
        PAGES,
        *(ROOT.joinpath(each).rglob("*.md") for each in ("bench", "examples", "loaders", "tests")),
    )
    if not _LEFT_OUT & {*path.relative_to(ROOT).parts}
)
# Folders whose messages, comments and templates name pages.
_SOURCES = ("infisical_iac", "templates", "group_data", "inventory", "loaders", "examples")
_SUFFIXES = {".py", ".sh", ".j2", ".yaml", ".yml", ".js", ".ts", ".mjs", ".toml"}

_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`)(?:(?!\n\n).)+?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|\b(?:src|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#* *$", re.MULTILINE)
_ANCHOR = re.compile(r"<a [^>]*\b(?:id|name)=\"([^\"]+)\"")
_NAMED_PAGE = re.compile(r"\bdocs/[A-Za-z0-9_/.-]+?\.md(?:#[a-z0-9_-]+)?")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _links(path: Path) -> Iterator[str]:
    """Yield the relative targets of a document's links, without those in code."""
    text = _CODE.sub("", _FENCE.sub("", path.read_text()))
    for match in _LINK.finditer(text):
        target = match[1] or match[2]
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield target


@cache
def _anchors(path: Path) -> frozenset[str]:
    """Return the anchors of a document: explicit ones, and those that forges make of headings."""
    text = _FENCE.sub("", path.read_text())
    found = set(_ANCHOR.findall(text))
    counts: dict[str, int] = {}
    for heading in _HEADING.findall(text):
        words = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(f"{slug}-{counts[slug]}" if slug in counts else slug)
        counts[slug] = counts.get(slug, 0) + 1
    return frozenset(found)


def _is_broken(source: Path, target: str) -> bool:
    """Return whether a link of `source` leads to a missing file, or to a missing anchor."""
    place, _, anchor = target.partition("#")
    path = (source.parent / place).resolve() if place else source
    if not path.exists():
        return True
    return bool(anchor) and path.suffix == ".md" and anchor not in _anchors(path)


def test_the_index_links_every_page() -> None:
    linked = {
        (INDEX.parent / target.partition("#")[0]).resolve()
        for target in _links(INDEX)
        if not target.startswith("#")
    }
    assert [_name(page) for page in PAGES if page != INDEX and page not in linked] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_relative_link_and_anchor_resolves(document: Path) -> None:
    assert [target for target in _links(document) if _is_broken(document, target)] == []


def test_every_page_that_code_names_exists() -> None:
    files = (
        path
        for folder in _SOURCES
        for path in ROOT.joinpath(folder).rglob("*")
        if path.suffix in _SUFFIXES and not _LEFT_OUT & {*path.relative_to(ROOT).parts}
    )
    broken = [
        f"{_name(path)}: {target}"
        for path in sorted(files)
        for target in _NAMED_PAGE.findall(path.read_text())
        if _is_broken(ROOT / "README.md", target)
    ]
    assert broken == []


@pytest.mark.parametrize(
    "page", ["README.md", "docs/operate/first-deploy.md", "docs/troubleshooting.md"]
)
def test_each_supported_system_is_on_the_pages_that_list_systems(page: str) -> None:
    text = (ROOT / page).read_text()
    assert [each.name for each in SYSTEMS.values() if each.name not in text] == []


def test_only_pages_for_users_with_a_clone_mention_the_clone() -> None:
    """Users of an installed tool have no clone, but a repository that `init` wrote."""
    assert [
        _name(page)
        for page in PAGES
        if "clone of this project" in " ".join(page.read_text().split())
    ] == [
        "docs/README.md",
        "docs/operate/first-deploy.md",
        "docs/operate/repository.md",
    ]


def test_the_readme_is_short() -> None:
    """A newcomer reads at most 150 lines before the first deploy; pages have the rest."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


_FIRST_COMMANDS = [
    "uv tool install infisical-iac",
    *("infisical-iac init", "infisical-iac apply", "make demo", "make test"),
]


def test_the_readme_begins_with_the_first_deploy_the_demo_and_the_tests() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()[:40]
    commands = [line.partition("#")[0].strip() for line in lines if line.startswith("    ")]
    assert commands[:5] == _FIRST_COMMANDS


def test_headings_have_the_anchors_of_forges(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('# A `key`, [and](x.md) more\n\n## Same\n\n## Same\n\n<a id="own"></a>\n')
    assert _anchors(page) == {"a-key-and-more", "same", "same-1", "own"}


# The programs that no other one brings along, each with its name on the page.
_PROGRAMS = {"git": "git", "npm": "Node", "npx": "Node", "python3": "Python", "docker": "Docker"}


def test_the_first_day_begins_with_every_program_that_its_commands_start() -> None:
    text = (ROOT / "docs/develop/first-day.md").read_text()
    started = {each.split()[0] for each in re.findall(r"^    (?:\$ )?(\S.*)", text, re.MULTILINE)}
    needed = text.partition("You need\n\n")[2].partition("\n## ")[0]
    assert started >= {"git", "docker"}
    assert [each for each in started & _PROGRAMS.keys() if _PROGRAMS[each] not in needed] == []
