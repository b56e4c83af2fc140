"""Test that a package which only this project's loader requires is not evidence of a grammar."""

import json

import pytest

from infisical_iac.migrate.loaders import is_brought_by_us_only
from tests.unit.migrate.trees import choose, node


def _npm(needed: dict[str, list[str]]) -> str:
    """Return a lock file of npm with these packages and the packages that each needs."""
    packages: dict[str, object] = {"": {"dependencies": {"infisical-config": "1"}}}
    for name, each in needed.items():
        packages[f"node_modules/{name}"] = {"dependencies": dict.fromkeys(each, "*")}
    return json.dumps({"packages": packages})


_BY_US = _npm(
    {
        "infisical-config": ["@infisical/sdk"],
        "@infisical/sdk": ["dotenv", "x"],
        "x": ["dotenv"],
        "dotenv": [],
    }
)
_BY_OTHERS = _npm({"@infisical/sdk": ["dotenv"], "starter": ["dotenv"], "dotenv": []})
_YARN = '"@infisical/sdk@^3.0.0":\n  version "3.0.0"\n  dependencies:\n    dotenv "^16.0.0"\n\n'
_PNPM = (
    "importers:\n\n  .:\n    dependencies:\n      infisical-config:\n        version: 0.1.0\n\n"
    "snapshots:\n\n  '@infisical/sdk@3.0.0':\n    dependencies:\n      dotenv: 16.0.0\n\n"
    "  dotenv@16.0.0: {}\n"
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("package-lock.json", _BY_US),
        ("yarn.lock", f'{_YARN}dotenv@^16.0.0:\n  version "16.0.0"\n'),
        ("pnpm-lock.yaml", _PNPM),
    ],
)
def test_a_package_that_only_our_loader_needs_is_not_evidence(name: str, text: str) -> None:
    assert is_brought_by_us_only("dotenv", text)
    choice = choose("a/.env", {f"a/{name}": text, "a/package.json": node("infisical-config")})
    assert "nothing says" in choice.evidence.why


@pytest.mark.parametrize(
    "text",
    [
        _BY_OTHERS,
        f'{_YARN}starter@1:\n  dependencies:\n    dotenv "16"\n\ndotenv@^16.0.0:\n  version "1"\n',
        _PNPM.replace("infisical-config:", "dotenv:"),
        '{"packages": {"node_modules/dotenv": {}}}',
        '{"lockfileVersion": 1, "dependencies": {"dotenv": {}}}',
    ],
)
def test_a_package_that_another_one_needs_too_is_evidence(text: str) -> None:
    assert not is_brought_by_us_only("dotenv", text)


def test_the_search_ends_for_packages_that_need_each_other() -> None:
    assert is_brought_by_us_only("a", _npm({"a": ["b"], "b": ["a"], "@infisical/sdk": ["a"]}))
