"""Test that CONTRIBUTING.md leads to places that exist: paths, and the names in them.

The same holds for the paths of tests that workflows and make run.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[3]
_FOLDERS = (
    *("bench", "docs", "examples", "group_data", "infisical_iac", "inventory", "loaders"),
    *("templates", "tests"),
)
_LEFT_OUT = {".pytest_cache", ".ruff_cache", ".venv", "__pycache__", "node_modules", "vendor"}
_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")
_FILE = re.compile(r"[\w.-]+\.(?:py|sh|j2|ya?ml|md|json|toml|lock|cjs)")
# A name, or the call of a function with its arguments.
_NAME = re.compile(r"[A-Za-z_][\w.]*(?:\([^)]*\))?")
# Names followed by their file: "`timeout`, `retries` in `templates/stack/compose.yaml.j2`".
_PLACED = re.compile(
    r"((?:`[\w.]+(?:\(\))?`(?:, (?:and |or )?| and | or )?)+)(?: of [a-z ]+)? in `([\w./-]+)`"
)
# `*` as the shell has it; in the Makefile, `%` is a word of a list.
_TESTS = re.compile(r"(?<![\w/.-])tests/[\w./*%-]*")
# Of the libraries that the code uses.
_FOREIGN = {"ctx.get_parameter_source"}


@cache
def _text() -> str:
    return _FENCE.sub("", (ROOT / "CONTRIBUTING.md").read_text())


@cache
def _files() -> dict[str, Path]:
    """Return the files of this repository, by their paths."""
    paths = chain(ROOT.glob("*"), *(ROOT.joinpath(each).rglob("*") for each in _FOLDERS))
    found = ((path.relative_to(ROOT), path) for path in paths if path.is_file())
    return {str(name): path for name, path in found if not _LEFT_OUT & {*name.parts}}


def _find(place: str) -> list[Path]:
    """Return the files whose path is, or ends with, a place that the page names."""
    return [path for name, path in _files().items() if f"/{name}".endswith(f"/{place}")]


@cache
def _folders() -> set[str]:
    """Return the folders of this repository, and the ends of their paths."""
    parents = {each.parts for name in _files() for each in Path(name).parents}
    return {"/".join(parts[start:]) for parts in parents for start in range(len(parts))}


def _is_folder(place: str) -> bool:
    return place.rstrip("/") in _folders()


def _places() -> Iterator[str]:
    for text in dict.fromkeys(_CODE.findall(_text())):
        if _PATH.fullmatch(text) and ("/" in text or _FILE.fullmatch(text)):
            yield text


def test_every_file_and_folder_that_the_page_names_exists() -> None:
    assert len([*_places()]) > 200
    assert [each for each in _places() if not _find(each) and not _is_folder(each)] == []


def test_every_path_of_tests_that_is_run_or_named_exists() -> None:
    files = [
        *(ROOT / ".github" / "workflows").iterdir(),
        *(ROOT / ".ci").iterdir(),
        *(ROOT / "Makefile", ROOT / "CONTRIBUTING.md"),
    ]
    named = [
        (str(file.relative_to(ROOT)), place.rstrip("."))
        for file in files
        for place in _TESTS.findall(file.read_text())
    ]
    assert {file for file, _ in named} >= {
        *(".github/workflows/release.yaml", ".github/workflows/test.yaml"),
        *("CONTRIBUTING.md", "Makefile"),
    }
    assert [each for each in named if not [*ROOT.glob(each[1].replace("%", "*"))]] == []


def test_every_name_is_in_the_file_that_the_page_gives_for_it() -> None:
    missing, count = [], 0
    for names, place in _PLACED.findall(_text()):
        texts = [path.read_text() for path in _find(place)]
        for name in re.findall(r"`([\w.]+?)(?:\(\))?`", names) if texts else ():
            count += 1
            word = re.compile(rf"\b{re.escape(name.rpartition('.')[2])}\b")
            if not any(map(word.search, texts)):
                missing.append(f"{name} in {place}")
    assert count > 50
    assert missing == []


def test_every_name_on_the_page_is_somewhere_in_the_code() -> None:
    suffixes = {".j2", ".py", ".sh", ".toml", ".yaml", ".yml"}
    code = (path for path in _files().values() if path.suffix in suffixes)
    words = {word for path in code for word in re.findall(r"\w+", path.read_text())}
    named = (each for each in dict.fromkeys(_CODE.findall(_text())) if _NAME.fullmatch(each))
    assert [
        each
        for each in named
        if each not in {*_places(), *_FOREIGN}
        and not {*re.findall(r"[A-Za-z_]\w*", each.partition("(")[0])} <= words
    ] == []
