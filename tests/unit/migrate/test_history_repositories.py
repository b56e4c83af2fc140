"""Test that a search covers all objects of a repository in any state, or is refused."""

from pathlib import Path

import pytest

from infisical_iac.core.errors import FileError
from infisical_iac.migrate.history import search
from tests.unit.migrate.repository import Repository
from tests.unit.migrate.searching import (
    NEEDLES,
    VALUE,
    create_repository,
    find_only_hit,
    get_span,
    run_search,
)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return create_repository(tmp_path / "app")


def test_a_deleted_branch_is_searched(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "try")
    commit = repository.commit(".env", f"A={VALUE}\n")
    repository.git("switch", "--quiet", "main")
    repository.git("branch", "--quiet", "-D", "try")
    assert get_span(find_only_hit(repository)) == (1, commit, commit)


def test_a_stash_is_searched(repository: Repository) -> None:
    repository.write("README", VALUE)
    (repository.path / "new.txt").write_text(f"{VALUE}\n")
    repository.git("stash", "--quiet", "--include-untracked")
    hits = run_search(repository).hits
    assert {hit.path for hit in hits} == {"README", "new.txt"}
    assert all(hit.place for hit in hits)


def test_an_amended_commit_is_searched(repository: Repository) -> None:
    amended = repository.commit(".env", f"A={VALUE}\n")
    repository.commit(".env", "A=\n", "--amend")
    assert get_span(find_only_hit(repository)) == (1, amended, amended)


def test_an_unreachable_commit_is_found_and_named(repository: Repository) -> None:
    lost = repository.commit(".env", f"A={VALUE}\n")
    later = repository.commit("README", "More\n")
    repository.git("reset", "--quiet", "--hard", "HEAD~2")
    repository.git("reflog", "expire", "--expire=now", "--all")
    assert get_span(find_only_hit(repository)) == (2, lost, later)


def test_a_value_is_found_in_a_commit_with_a_missing_parent(repository: Repository) -> None:
    lost = repository.commit(".env", f"A={VALUE}\n")
    repository.commit("README", "More\n")
    repository.git("reset", "--quiet", "--hard", "HEAD~2")
    repository.git("reflog", "expire", "--expire=now", "--all")
    (repository.path / ".git/objects" / lost[:2] / lost[2:]).unlink()
    assert find_only_hit(repository).form == "as it is"


def test_a_blob_that_is_in_no_commit_is_found(repository: Repository) -> None:
    name = repository.git("hash-object", "-w", "--stdin", stdin=VALUE.encode())
    hit = find_only_hit(repository)
    assert (hit.objects, hit.path, hit.place) == ((name,), "", None)


def test_a_repository_without_a_commit_is_searched(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "app")
    repository.write(".env", VALUE)
    assert find_only_hit(repository).place is None


def test_packed_objects_are_searched(repository: Repository) -> None:
    commit = repository.commit(".env", f"A={VALUE}\n")
    repository.commit(".env", "A=\n")
    repository.git("gc", "--quiet")
    assert repository.git("count-objects").startswith("0 objects")
    assert get_span(find_only_hit(repository)) == (1, commit, commit)


def test_a_bare_repository_is_searched(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit(".env", f"A={VALUE}\n")
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    assert get_span(find_only_hit(Repository(tmp_path / "bare.git"))) == (1, commit, commit)


def test_an_object_is_searched_although_git_replaces_it(repository: Repository) -> None:
    repository.commit(".env", f"A={VALUE}\n")
    harmless = repository.git("hash-object", "-w", "--stdin", stdin=b"A=\n")
    repository.git("replace", repository.git("rev-parse", "HEAD:.env"), harmless)
    assert find_only_hit(repository).path == ".env"


def test_git_dir_in_the_environment_is_ignored(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.write(".env", VALUE)
    Repository.create(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert find_only_hit(repository).kind == "file"


def test_a_folder_that_is_not_a_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="not a git repository") as raised:
        search(tmp_path, NEEDLES)
    assert raised.value.code == "file.not_searched"
    assert str(tmp_path) in str(raised.value)


def test_a_missing_git_is_an_error(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileError, match="git is not installed") as raised:
        run_search(repository)
    assert raised.value.code == "file.no_git"


def test_a_damaged_object_fails_the_search(repository: Repository) -> None:
    name = repository.git("rev-parse", "HEAD:README")
    file = repository.path / ".git/objects" / name[:2] / name[2:]
    file.chmod(0o600)
    file.write_bytes(b"damaged")
    with pytest.raises(FileError, match="can't be"):
        run_search(repository)
