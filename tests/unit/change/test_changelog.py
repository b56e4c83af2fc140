"""Test which sections of the changelog are between two versions, and the pin of a repository."""

import pytest

from infisical_iac.change.changelog import find_pin, read_changelog, select_sections

_TEXT = """\
# Changelog

## Unreleased

- Not yet.

## 0.10.0 - 2026-12-24

### Added

- A tenth thing.

## [0.2.0]

- A second thing.

## 0.1.0

- A first thing.
"""


@pytest.mark.parametrize(
    ("after", "until", "expected"),
    [
        ("0.1.0", "0.10.0", ["0.10.0", "0.2.0"]),
        ("0.1.0", "0.2.0", ["0.2.0"]),
        ("0.2.0", "0.10.0", ["0.10.0"]),
        ("0.10.0", "0.10.0", []),
        ("0.10.0", "0.1.0", []),
        ("0.0.1", "0.1.0", ["0.1.0"]),
    ],
)
def test_sections_between_two_versions_are_found(
    after: str, until: str, expected: list[str]
) -> None:
    found = select_sections(_TEXT, after=after, until=until)
    assert [each.version for each in found] == expected


def test_a_section_ends_at_the_next_heading() -> None:
    (tenth, second) = select_sections(_TEXT, after="0.1.0", until="0.10.0")
    assert tenth.text == "### Added\n\n- A tenth thing."
    assert second.text == "- A second thing."


def test_the_clone_has_a_changelog() -> None:
    assert read_changelog().startswith("# Changelog\n")


@pytest.mark.parametrize(
    ("dependencies", "expected"),
    [
        ('["infisical-iac==0.1.0"]', "0.1.0"),
        ('["httpx", "infisical-iac == 0.2.1 ; python_version > \'3\'"]', "0.2.1"),
        ('["infisical-iac>=0.1.0"]', ""),
        ('["infisical-iac-other==0.1.0"]', ""),
        ("[]", ""),
        ("3", ""),
    ],
)
def test_the_pin_of_a_repository_is_found(dependencies: str, expected: str) -> None:
    text = f"[project]\nname = 'x'\ndependencies = {dependencies}\n"
    assert find_pin(text, "infisical-iac") == expected


@pytest.mark.parametrize("text", ["", "[tool.x]\n", "not toml", "[project]\nname = 'x'\n"])
def test_a_repository_without_a_pin_is_accepted(text: str) -> None:
    assert find_pin(text, "infisical-iac") == ""
