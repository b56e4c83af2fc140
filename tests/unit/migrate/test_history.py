"""Test that a value is found at each of its places in a repository, and nowhere else."""

from base64 import b64encode
from pathlib import Path

import pytest

from infisical_iac.migrate.history import search
from infisical_iac.migrate.search_terms import SearchTerms
from tests.unit.migrate.repository import Repository
from tests.unit.migrate.searching import (
    VALUE,
    create_repository,
    find_only_hit,
    get_span,
    run_search,
)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return create_repository(tmp_path / "app")


def test_a_repository_without_the_value_has_no_hits(repository: Repository) -> None:
    searched = run_search(repository)
    assert searched.hits == []
    assert searched.objects == 3


def test_a_value_is_found_in_each_commit_until_its_file_is_removed(repository: Repository) -> None:
    first = repository.commit("backend/.env", f"API_KEY={VALUE}\n")
    last = repository.commit("README", "More\n")
    repository.git("rm", "--quiet", "backend/.env")
    repository.commit("README", "Gone\n")
    hit = find_only_hit(repository)
    assert (hit.label, hit.form, hit.kind) == ("backend API_KEY", "as it is", "file")
    assert hit.path == "backend/.env"
    assert get_span(hit) == (2, first, last)
    assert hit.place is not None
    assert (hit.place.first.date, hit.place.last.date) == ("2026-01-02", "2026-01-03")


def test_versions_of_one_file_are_one_hit(repository: Repository) -> None:
    first = repository.commit(".env", f"A={VALUE}\n")
    repository.commit(".env", f"A={VALUE}\nB=1\n")
    last = repository.commit(".env", f"A={VALUE}\nB=2\n")
    hit = find_only_hit(repository)
    assert len(hit.objects) == 3
    assert get_span(hit) == (3, first, last)


def test_a_file_that_was_moved_is_found_under_both_paths(repository: Repository) -> None:
    first = repository.commit(".env", f"A={VALUE}\n")
    repository.git("mv", ".env", "moved.env")
    last = repository.commit("README", "Moved\n")
    hits = {hit.path: get_span(hit) for hit in run_search(repository).hits}
    assert hits == {".env": (1, first, first), "moved.env": (1, last, last)}


def test_a_value_of_a_merged_branch_is_found_in_the_merge_commit(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "side")
    side = repository.commit("side.txt", VALUE)
    repository.git("switch", "--quiet", "main")
    repository.commit("README", "More\n")
    repository.git("merge", "--quiet", "--no-edit", "side")
    assert get_span(find_only_hit(repository)) == (2, side, repository.git("rev-parse", "HEAD"))


def test_a_value_only_in_a_merge_commit_is_found(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "side")
    repository.commit("side.txt", "Side\n")
    repository.git("switch", "--quiet", "main")
    repository.commit("README", "More\n")
    repository.git("merge", "--quiet", "--no-commit", "side")
    merge = repository.commit("merged.txt", VALUE)
    assert get_span(find_only_hit(repository)) == (1, merge, merge)


def test_messages_of_commits_and_tags_are_searched(repository: Repository) -> None:
    encoded = b64encode(f"key: {VALUE}".encode()).decode()
    commit = repository.commit("README", "More\n", message=f"Take {encoded}")
    repository.git("tag", "--annotate", "--message", VALUE, "v1")
    hits = {hit.kind: hit for hit in run_search(repository).hits}
    assert hits["commit"].form == "base64"
    assert get_span(hits["commit"]) == (1, commit, commit)
    assert hits["tag"].objects == (repository.git("rev-parse", "v1"),)


def test_names_of_files_are_searched_and_not_shown(repository: Repository) -> None:
    value = "fake-secret-0f9a1b2c"
    first = repository.commit(f"dumps/{value}.txt", value)
    repository.commit(f"{value}.txt", "Nothing\n")
    hits = search(repository.path, SearchTerms({"A": value})).hits
    names = {hit.path: hit for hit in hits if hit.kind == "file name"}
    assert set(names) == {"dumps", ""}
    assert get_span(names["dumps"])[:2] == (2, first)
    assert value not in repr(hits)


def test_control_characters_in_a_path_are_not_printed(repository: Repository) -> None:
    repository.commit("\x1b[31mred", VALUE)
    assert find_only_hit(repository).path == "\N{REPLACEMENT CHARACTER}[31mred"


def test_a_value_is_found_where_a_large_file_is_read_in_parts(repository: Repository) -> None:
    size = 1 << 17
    for before in (size - len(VALUE) // 2, 3 * size - 1):
        repository.commit(f"large-{before}", "\n" * before + VALUE + "\n" * size)
    assert len(run_search(repository).hits) == 2


def test_a_thousand_files_are_searched(repository: Repository) -> None:
    for number in range(1000):
        (repository.path / f"file-{number}").write_text(f"Line {number}\n" * 20)
    (repository.path / "file-500").write_text(VALUE)
    repository.git("add", ".")
    commit = repository.commit("README", "Many\n")
    hit = find_only_hit(repository)
    assert (hit.path, get_span(hit)) == ("file-500", (1, commit, commit))
