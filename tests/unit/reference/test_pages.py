"""Test the pages of the documentation: links, indexes, and the first screen of the README."""

import re
from functools import cache
from pathlib import Path

import pytest

_PAGES = sorted(Path("docs").rglob("*.md"))
_OTHERS = [Path(name) for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
_INDEXES = ("docs/README.md", "docs/develop/README.md", "docs/operate/cluster/README.md")
_LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)")


def _text(page: Path) -> str:
    """Return a page without its code, which may have brackets of its own."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", text)


@cache
def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    anchors = set(re.findall(r'<a (?:id|name)="([^"]+)"', page.read_text()))
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), flags=re.M):
        plain = re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found[slug] = number = found.get(slug, -1) + 1
        anchors.add(f"{slug}-{number}" if number else slug)
    return anchors


def _targets(page: Path) -> list[tuple[Path, str]]:
    links = _LINK.findall(_text(page))
    return [(page.parent / file if file else page, anchor) for file, anchor in links]


@pytest.mark.parametrize("page", [*_PAGES, *_OTHERS], ids=str)
def test_each_link_has_a_target(page: Path) -> None:
    for target, anchor in _targets(page):
        assert target.exists(), target
        if anchor and target.suffix == ".md":
            assert anchor in _anchors(target.resolve()), (str(target), anchor)


def test_each_page_is_linked_from_an_index() -> None:
    linked = {to.resolve() for index in _INDEXES for to, _ in _targets(Path(index))}
    pages = [page for page in _PAGES if str(page) != "docs/README.md"]
    assert [str(page) for page in pages if page.resolve() not in linked] == []


def test_the_readme_is_short_and_has_both_commands_to_begin_with_on_its_first_screen() -> None:
    lines = Path("README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert {"    make demo", "    make test"} <= {*lines[:30]}
