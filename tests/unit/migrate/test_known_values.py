"""Test that a plan's values come from its files, and from Infisical for deleted files."""

from pathlib import Path

from infisical_iac.migrate.model import Name, Stored
from infisical_iac.migrate.plan_file import MigrationPlan, PlannedKey, digest
from infisical_iac.migrate.search_terms import KnownValues, in_files, with_stored
from tests.unit.migrate.moving import planned_source
from tests.unit.migrate.repository import Repository

_KEY = b"k" * 32
_NAME = Name("production", "/backend", "TOKEN")
_LABEL = "backend/.env TOKEN"


def _plan(grammar: str = "compose", **skipped: str) -> MigrationPlan:
    keys = {"TOKEN": _plan_key("fake-token", "store")}
    keys |= {name: _plan_key(value, "skip") for name, value in skipped.items()}
    source = planned_source(keys, grammar=grammar)
    return MigrationPlan(project="chainalign", root=".", sources=(source,))


def _plan_key(value: str, decision: str) -> PlannedKey:
    data = {"line": 1, "length": 1, "digest": digest(_KEY, value), "decision": decision}
    return PlannedKey.model_validate(data)


def _read_known(root: Path, text: str | None, plan: MigrationPlan) -> KnownValues:
    (root / "backend").mkdir()
    if text is not None:
        (root / "backend/.env").write_text(text)
    return in_files(plan, root, _KEY)


def test_all_keys_of_an_existing_file_are_read_by_the_plans_grammar(
    tmp_path: Path,
) -> None:
    text = "TOKEN=fake-token\nPASSPHRASE=fake#phrase\nMORE=fake-more\n"
    known = _read_known(tmp_path, text, _plan(PASSPHRASE="fake#phrase"))
    values = {"TOKEN": "fake-token", "PASSPHRASE": "fake#phrase", "MORE": "fake-more"}
    assert known.values == {f"backend/.env {name}": each for name, each in values.items()}
    assert (known.moved, known.unknown) == ({}, {})
    assert "fake" not in repr(known)


def test_values_of_deleted_files_come_from_infisical(tmp_path: Path) -> None:
    known = _read_known(tmp_path, None, _plan(PASSPHRASE="fake-phrase"))
    assert known.values == {}
    assert {label: each.name for label, each in known.moved.items()} == {_LABEL: _NAME}
    assert list(known.unknown) == ["backend/.env PASSPHRASE"]
    assert with_stored(known, {_NAME: Stored("fake-token")}, _KEY).values == {_LABEL: "fake-token"}


def test_both_the_changed_value_of_a_file_and_the_moved_value_are_searched_for(
    tmp_path: Path,
) -> None:
    known = _read_known(tmp_path, "TOKEN=fake-other\n", _plan())
    assert with_stored(known, {_NAME: Stored("fake-token")}, _KEY).values == {
        f"{_LABEL} (in the file now)": "fake-other",
        _LABEL: "fake-token",
    }


def test_a_value_that_can_no_longer_be_read_is_reported(tmp_path: Path) -> None:
    known = _read_known(tmp_path, None, _plan())
    gone = with_stored(known, {}, _KEY)
    assert (gone.values, list(gone.unknown)) == ({}, [_LABEL])
    hidden = with_stored(known, {_NAME: Stored("", is_hidden=True)}, _KEY)
    assert (hidden.values, list(hidden.unknown)) == ({}, [_LABEL])
    rotated = with_stored(known, {_NAME: Stored("fake-rotated")}, _KEY)
    assert rotated.values == {f"{_LABEL} (in Infisical now)": "fake-rotated"}
    assert "has another value" in rotated.unknown[_LABEL]


def test_a_file_that_its_grammar_refuses_is_reported(tmp_path: Path) -> None:
    known = _read_known(tmp_path, "TOKEN=$(fake)\n", _plan("shell"))
    assert "shell" in known.unknown["backend/.env"]
    assert list(known.moved) == [_LABEL]


def test_the_text_after_a_hash_that_cuts_a_value_is_searched_for_too(tmp_path: Path) -> None:
    text = "# first\nTOKEN=fake#phrase$word # a comment\n"
    known = _read_known(tmp_path, text, _plan("dotenv"))
    assert "fake#phrase$word" in known.values.values()
    assert "fake" not in repr(known)


def _lost(root: Path, plan: MigrationPlan, *versions: str) -> KnownValues:
    """Return the known values after the versions of the file were committed, and it is deleted."""
    repository = Repository.create(root / "app")
    repository.commit("README", "Nothing here\n")
    for text in versions:
        repository.commit("backend/.env", text)
    if versions:
        repository.git("rm", "--quiet", "backend/.env")
        repository.git("commit", "--quiet", "--message", "Delete")
    return in_files(plan, repository.path, _KEY)


def test_a_skipped_key_that_its_file_lost_is_recognized_in_gits_history(tmp_path: Path) -> None:
    """`migrate clean` deletes the file of a shared key, which its plan skips as a finding says."""
    older = "TOKEN=fake-token\nPASSPHRASE=fake-older\n"
    known = _lost(tmp_path, _plan(PASSPHRASE="fake#phrase"), older, "PASSPHRASE=fake#phrase\n")
    assert known.values == {"backend/.env PASSPHRASE": "fake#phrase"}
    assert known.unknown == {}


def test_a_lost_key_that_was_never_committed_is_reported(tmp_path: Path) -> None:
    known = _lost(tmp_path, _plan(PASSPHRASE="fake-phrase"), "PASSPHRASE=fake-other\n")
    assert known.values == {}
    assert list(known.unknown) == ["backend/.env PASSPHRASE"]
    assert list(known.lost) == ["backend/.env PASSPHRASE"]


def test_a_lost_key_with_the_value_of_another_key_is_known(tmp_path: Path) -> None:
    plan = _plan(PASSPHRASE="fake-token")
    known = _read_known(tmp_path, "TOKEN=fake-token\n", plan)
    assert known.values["backend/.env PASSPHRASE"] == "fake-token"
    assert known.unknown == {}


def test_a_lost_key_that_infisical_has_in_another_folder_is_known(tmp_path: Path) -> None:
    """A person added it to the shared folder."""
    known = _read_known(tmp_path, None, _plan(PASSPHRASE="fake-phrase"))
    shared = Name("production", "/shared", "PHRASE")
    there = {_NAME: Stored("fake-token"), shared: Stored("fake-phrase")}
    both = with_stored(known, there, _KEY)
    assert both.values == {_LABEL: "fake-token", "backend/.env PASSPHRASE": "fake-phrase"}
    assert both.unknown == {}


def test_keys_below_the_line_of_overrides_are_in_the_file(tmp_path: Path) -> None:
    """A person inserted the line after the plan, so that `migrate clean` leaves the file."""
    keys = {"TOKEN": _plan_key("fake-token", "skip"), "MINE": _plan_key("fake-mine", "skip")}
    source = planned_source(keys, path="web/.env.local", grammar="next")
    plan = MigrationPlan(project="chainalign", root=".", sources=(source,))
    file = tmp_path / "web/.env.local"
    file.parent.mkdir()
    file.write_text("TOKEN=fake-token\n# overrides\nMINE=fake-mine\nTOKEN=fake-other\n")
    known = in_files(plan, tmp_path, _KEY)
    assert known.values == {
        "web/.env.local MINE": "fake-mine",
        "web/.env.local TOKEN": "fake-token",
        "web/.env.local TOKEN (below # overrides)": "fake-other",
    }
    assert known.unknown == {}
