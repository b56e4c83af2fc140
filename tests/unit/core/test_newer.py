"""Test that a newer tag has the format of the pinned tag and is not a pre-release."""

import pytest

from infisical_iac.core.images import Newer, find_newer

_POSTGRES = [
    *("latest", "trixie", "9.6", "9.6.24", "16.10", "17", "17.6", "17.11", "17.12", "18", "18.1"),
    *("18.4", "18rc1", "19beta2", "19beta2-alpine", "17-trixie", "18.4-trixie"),
    *("17.6-alpine", "17.12-alpine", "17.12-alpine3.22"),
]
_INFISICAL = [
    *("latest", "latest-postgres", "v0.94.0", "v0.146.2-postgres", "v0.165.9", "v0.165.16"),
    *("v0.165.17-rc.1", "v0.166.0", "v0.166.2", "v0.167.0-nightly-20261101", "6b911e39"),
    *("v0.167.0-nightly-20261101.1", "70875656791"),
]


@pytest.mark.parametrize(
    ("pinned", "tags", "expected"),
    [
        ("v0.165.16", _INFISICAL, Newer("v0.166.2")),
        ("v0.166.2", _INFISICAL, Newer()),
        # Numbers are not compared as texts: 9 < 16.
        ("v0.165.9", ["v0.165.16"], Newer("v0.165.16")),
        ("v0.165.16", ["v0.165.9"], Newer()),
        ("v0.166.2", ["v1.0.0", "v1.2.0"], Newer("", "v1.2.0")),
        # A newer tag has the same major version and as many numbers.
        ("17", _POSTGRES, Newer("", "18")),
        ("17.6", _POSTGRES, Newer("17.12", "18.4")),
        ("17.12", _POSTGRES, Newer("", "18.4")),
        ("18.4", _POSTGRES, Newer()),
        ("9.6.24", _POSTGRES, Newer()),
        # A suffix is kept.
        ("17.6-alpine", _POSTGRES, Newer("17.12-alpine")),
        ("17.6-alpine3.22", _POSTGRES, Newer("17.12-alpine3.22")),
        ("17-trixie", _POSTGRES, Newer()),
        ("v0.146.2-postgres", _INFISICAL, Newer()),
        # A patch level of the packaging is a number.
        ("4.0-p3", ["4.0-p2", "4.0-p10", "3.3-p11"], Newer("4.0-p10")),
        ("4.0-p3", ["4.1-p1", "4.0-p4"], Newer("4.1-p1")),
        ("4.0-p3", ["4.1", "4.0"], Newer()),
        # Pre-releases are skipped. The final release is newer than a pinned pre-release.
        ("2.10.2", ["2.11.0-beta.1", "2.11.0-rc2", "2.11.0-alpine"], Newer()),
        ("2.11.0-rc1", ["2.11.0-rc2", "2.11.0", "2.10.9"], Newer("2.11.0")),
        # A date is not a major version.
        ("2.3", ["20240101.1", "2024.12"], Newer()),
        ("2024.1", ["2024.2", "2025.1"], Newer("2024.2", "2025.1")),
        # A tag without a version has no newer one.
        ("trixie", _POSTGRES, Newer()),
        ("", _POSTGRES, Newer()),
        ("17.6", [], Newer()),
    ],
)
def test_newer_tags_have_the_format_of_the_pinned_tag(
    pinned: str, tags: list[str], expected: Newer
) -> None:
    assert find_newer(pinned, tags) == expected
