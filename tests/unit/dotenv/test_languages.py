"""Test the table of files that show a language, which init, check and migrate read."""

from pathlib import Path

import pytest

from infisical_iac.dotenv.grammar import LANGUAGES, NODE, PYTHON, ROOTS, Language


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("package.json", NODE),
        ("requirements.txt", PYTHON),
        ("requirements-dev.in", PYTHON),
        ("pyproject.toml", PYTHON),
        ("Pipfile", PYTHON),
        ("setup.cfg", PYTHON),
        ("setup.py", PYTHON),
        ("tsconfig.json", None),
        ("package-lock.json", None),
        ("my-package.json", None),
        ("setup.sh", None),
    ],
)
def test_a_manifest_is_known_by_its_name(name: str, language: Language | None) -> None:
    for path in (name, f"services/backend/{name}"):
        assert [each for each in LANGUAGES if each.is_manifest(path)] == [language] * bool(language)


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda each: each.name)
def test_a_manifest_shows_a_package_and_a_lock_file_does_not(language: Language) -> None:
    assert all(map(language.is_manifest, language.roots))
    assert not any(map(language.is_manifest, language.locks))
    assert all(language.is_lock(f"a/{name}") for name in language.locks)


def test_a_directory_with_one_of_three_files_is_a_package() -> None:
    assert {"package.json", "pyproject.toml", "requirements.txt"} == ROOTS


@pytest.mark.parametrize("file", ["infisical_iac/cli/init.py", "docs/operate/first-deploy.md"])
def test_the_files_that_show_a_service_are_in_the_help_and_the_docs(file: str) -> None:
    text = Path(file).read_text()
    assert [name for name in sorted(ROOTS) if name not in text] == []


def test_no_other_module_has_the_names_that_a_language_lists() -> None:
    """The exception pins the tool's version in a manifest of a user's own repository."""
    files = {name for each in LANGUAGES for name in (*each.roots, *each.locks, *each.installed)}
    found = {
        str(file)
        for file in Path("infisical_iac").rglob("*.py")
        if any(f'"{name}"' in file.read_text() for name in files)
    }
    own = "infisical_iac/core/own_repository.py"
    assert found == {"infisical_iac/dotenv/grammar.py", own}
