"""Where in a repository a value is found, and that it is found nowhere else."""

from base64 import b64encode
from pathlib import Path

import pytest

from infisical_iac.migrate.git import GitError
from infisical_iac.migrate.history import Hit, Searched, search
from infisical_iac.migrate.needles import Needles
from tests.unit.migrate.repository import Repository

_VALUE = "fake-Secret/0f9a+b1c"
_NEEDLES = Needles({"backend API_KEY": _VALUE})


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.made(tmp_path / "app")
    made.commit("README", "Nothing here\n")
    return made


def _search(repository: Repository) -> Searched:
    return search(repository.path, _NEEDLES)


def _only(repository: Repository) -> Hit:
    [hit] = _search(repository).hits
    return hit


def _span(hit: Hit) -> tuple[int, str, str]:
    assert hit.place is not None
    return hit.place.commits, hit.place.first.name, hit.place.last.name


def test_where_no_value_is_nothing_is_found(repository: Repository) -> None:
    searched = _search(repository)
    assert searched.hits == []
    assert searched.objects == 3


def test_a_value_is_in_each_commit_from_the_one_that_brought_it(repository: Repository) -> None:
    first = repository.commit("backend/.env", f"API_KEY={_VALUE}\n")
    last = repository.commit("README", "More\n")
    repository.git("rm", "--quiet", "backend/.env")
    repository.commit("README", "Gone\n")
    hit = _only(repository)
    assert (hit.label, hit.form, hit.kind) == ("backend API_KEY", "as it is", "file")
    assert hit.path == "backend/.env"
    assert _span(hit) == (2, first, last)
    assert hit.place is not None
    assert (hit.place.first.date, hit.place.last.date) == ("2026-01-02", "2026-01-03")


def test_versions_of_one_file_are_one_hit(repository: Repository) -> None:
    first = repository.commit(".env", f"A={_VALUE}\n")
    repository.commit(".env", f"A={_VALUE}\nB=1\n")
    last = repository.commit(".env", f"A={_VALUE}\nB=2\n")
    hit = _only(repository)
    assert len(hit.objects) == 3
    assert _span(hit) == (3, first, last)


def test_a_file_that_was_moved_is_found_under_both_paths(repository: Repository) -> None:
    first = repository.commit(".env", f"A={_VALUE}\n")
    repository.git("mv", ".env", "moved.env")
    last = repository.commit("README", "Moved\n")
    hits = {hit.path: _span(hit) for hit in _search(repository).hits}
    assert hits == {".env": (1, first, first), "moved.env": (1, last, last)}


def test_a_deleted_branch_is_searched(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "try")
    commit = repository.commit(".env", f"A={_VALUE}\n")
    repository.git("switch", "--quiet", "main")
    repository.git("branch", "--quiet", "-D", "try")
    assert _span(_only(repository)) == (1, commit, commit)


def test_a_stash_is_searched(repository: Repository) -> None:
    repository.write("README", _VALUE)
    (repository.path / "new.txt").write_text(f"{_VALUE}\n")
    repository.git("stash", "--quiet", "--include-untracked")
    hits = _search(repository).hits
    assert {hit.path for hit in hits} == {"README", "new.txt"}
    assert all(hit.place for hit in hits)


def test_an_amended_commit_is_searched(repository: Repository) -> None:
    amended = repository.commit(".env", f"A={_VALUE}\n")
    repository.commit(".env", "A=\n", "--amend")
    assert _span(_only(repository)) == (1, amended, amended)


def test_a_commit_that_nothing_refers_to_is_named(repository: Repository) -> None:
    lost = repository.commit(".env", f"A={_VALUE}\n")
    later = repository.commit("README", "More\n")
    repository.git("reset", "--quiet", "--hard", "HEAD~2")
    repository.git("reflog", "expire", "--expire=now", "--all")
    assert _span(_only(repository)) == (2, lost, later)


def test_a_commit_that_lost_its_parent_hides_nothing(repository: Repository) -> None:
    lost = repository.commit(".env", f"A={_VALUE}\n")
    repository.commit("README", "More\n")
    repository.git("reset", "--quiet", "--hard", "HEAD~2")
    repository.git("reflog", "expire", "--expire=now", "--all")
    (repository.path / ".git/objects" / lost[:2] / lost[2:]).unlink()
    assert _only(repository).form == "as it is"


def test_a_blob_that_is_in_no_commit_is_found(repository: Repository) -> None:
    name = repository.git("hash-object", "-w", "--stdin", stdin=_VALUE.encode())
    hit = _only(repository)
    assert (hit.objects, hit.path, hit.place) == ((name,), "", None)


def test_a_repository_without_a_commit_is_searched(tmp_path: Path) -> None:
    repository = Repository.made(tmp_path / "app")
    repository.write(".env", _VALUE)
    assert _only(repository).place is None


def test_packed_objects_are_searched(repository: Repository) -> None:
    commit = repository.commit(".env", f"A={_VALUE}\n")
    repository.commit(".env", "A=\n")
    repository.git("gc", "--quiet")
    assert repository.git("count-objects").startswith("0 objects")
    assert _span(_only(repository)) == (1, commit, commit)


def test_a_bare_repository_is_searched(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit(".env", f"A={_VALUE}\n")
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    assert _span(_only(Repository(tmp_path / "bare.git"))) == (1, commit, commit)


def test_what_comes_with_a_merge_is_in_the_merge(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "side")
    side = repository.commit("side.txt", _VALUE)
    repository.git("switch", "--quiet", "main")
    repository.commit("README", "More\n")
    repository.git("merge", "--quiet", "--no-edit", "side")
    assert _span(_only(repository)) == (2, side, repository.git("rev-parse", "HEAD"))


def test_what_is_only_in_a_merge_is_found(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "side")
    repository.commit("side.txt", "Side\n")
    repository.git("switch", "--quiet", "main")
    repository.commit("README", "More\n")
    repository.git("merge", "--quiet", "--no-commit", "side")
    merge = repository.commit("merged.txt", _VALUE)
    assert _span(_only(repository)) == (1, merge, merge)


def test_messages_of_commits_and_tags_are_searched(repository: Repository) -> None:
    encoded = b64encode(f"key: {_VALUE}".encode()).decode()
    commit = repository.commit("README", "More\n", message=f"Take {encoded}")
    repository.git("tag", "--annotate", "--message", _VALUE, "v1")
    hits = {hit.kind: hit for hit in _search(repository).hits}
    assert hits["commit"].form == "base64"
    assert _span(hits["commit"]) == (1, commit, commit)
    assert hits["tag"].objects == (repository.git("rev-parse", "v1"),)


def test_names_of_files_are_searched_and_not_told(repository: Repository) -> None:
    value = "fake-secret-0f9a1b2c"
    first = repository.commit(f"dumps/{value}.txt", value)
    repository.commit(f"{value}.txt", "Nothing\n")
    hits = search(repository.path, Needles({"A": value})).hits
    names = {hit.path: hit for hit in hits if hit.kind == "file name"}
    assert set(names) == {"dumps", ""}
    assert _span(names["dumps"])[:2] == (2, first)
    assert value not in repr(hits)


def test_control_characters_in_a_path_are_not_printed(repository: Repository) -> None:
    repository.commit("\x1b[31mred", _VALUE)
    assert _only(repository).path == "\N{REPLACEMENT CHARACTER}[31mred"


def test_objects_are_searched_as_stored_though_replaced(repository: Repository) -> None:
    repository.commit(".env", f"A={_VALUE}\n")
    harmless = repository.git("hash-object", "-w", "--stdin", stdin=b"A=\n")
    repository.git("replace", repository.git("rev-parse", "HEAD:.env"), harmless)
    assert _only(repository).path == ".env"


def test_a_value_is_found_where_a_large_file_is_read_in_parts(repository: Repository) -> None:
    size = 1 << 17
    for before in (size - len(_VALUE) // 2, 3 * size - 1):
        repository.commit(f"large-{before}", "\n" * before + _VALUE + "\n" * size)
    assert len(_search(repository).hits) == 2


def test_a_thousand_files_are_searched(repository: Repository) -> None:
    for number in range(1000):
        (repository.path / f"file-{number}").write_text(f"Line {number}\n" * 20)
    (repository.path / "file-500").write_text(_VALUE)
    repository.git("add", ".")
    commit = repository.commit("README", "Many\n")
    hit = _only(repository)
    assert (hit.path, _span(hit)) == ("file-500", (1, commit, commit))


def test_settings_of_the_environment_lead_nowhere_else(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.write(".env", _VALUE)
    Repository.made(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert _only(repository).kind == "file"


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GitError, match=r"can't be searched: git says not a git repository"):
        search(tmp_path, _NEEDLES)


def test_a_missing_git_is_told(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GitError, match=r"git is not installed"):
        _search(repository)


def test_a_damaged_object_is_no_success(repository: Repository) -> None:
    name = repository.git("rev-parse", "HEAD:README")
    file = repository.path / ".git/objects" / name[:2] / name[2:]
    file.chmod(0o600)
    file.write_bytes(b"damaged")
    with pytest.raises(GitError, match="can't be"):
        _search(repository)
