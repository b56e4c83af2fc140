"""Test that findings are printed as grouped and ordered lines, and that none is lost."""

from dataclasses import replace

import pytest

from infisical_iac.dotenv import Finding, read
from infisical_iac.migrate.model import BLOCKING, FileFinding, Source
from infisical_iac.migrate.summary import decisions, differences, explain, group, list_shared, notes
from tests.unit.migrate.moving import finding


def test_findings_on_one_key_are_one_decision_with_all_kinds() -> None:
    found = [
        finding("undefined-reference", blocking=True, line=3),
        finding("grammars-disagree", blocking=True, line=3),
        finding("trimmed", blocking=True, line=4, key="OTHER"),
        finding("resolved", line=3),
    ]
    first, second = decisions(found)
    assert first.place == "backend/.env:3"
    assert first.about.split() == ["undefined-reference,", "grammars-disagree", "FAKE"]
    assert (second.place, second.about) == ("backend/.env:4", "trimmed OTHER")
    assert [line.about for line in notes(found)] == ["resolved FAKE"]


def test_each_sentence_is_printed_once() -> None:
    assert explain([finding("trimmed"), finding("nul")]) == "It is odd. Look."


@pytest.mark.parametrize("kind", ["plain-configuration", "bootstrap-key", "not-in-sample"])
def test_many_keys_of_a_file_are_one_line_that_counts_the_rest(kind: str) -> None:
    found = [finding(kind, key=f"K{n}", line=n) for n in range(1, 15)]
    (line,) = notes([*found])
    assert line.place == "backend/.env"
    assert line.text.startswith(f"{', '.join(f'K{n}' for n in range(1, 11))} and 4 more ")


def test_keys_that_differ_between_services_are_one_line_of_a_scan() -> None:
    found = [
        replace(finding("differs-across-services", key=key), file=f"{service}/.env")
        for service in ("api", "web", "worker", "jobs")
        for key in ("DATABASE_URL", "DB_NAME")
    ]
    (line,) = differences(found)
    assert (line.place, line.about) == (
        "api/.env, web/.env, worker/.env and 1 more",
        "differs-across-services",
    )
    assert line.text.startswith("DATABASE_URL and DB_NAME differ ")
    assert notes(found) == []
    assert differences([finding("trimmed")]) == []


def test_keys_with_one_value_in_the_same_files_are_one_line_of_a_scan() -> None:
    files = {
        "api/.env": ("staging", ("JWT", "TOKEN")),
        "web/.env": ("staging", ("JWT", "TOKEN", "SALT")),
        "api/.env.production": ("production", ("JWT",)),
        "web/.env.production": ("production", ("JWT",)),
        "jobs/.env": ("staging", ("SALT",)),
    }
    sources = [
        Source(
            path=path,
            service="",
            environment=environment,
            folder="",
            grammar="dotenv",
            why="",
            data=b"",
            reading=read(b"", "dotenv"),
            findings=tuple(
                FileFinding(path, 1, "shared-candidate", key, "", "Use shared_folders.", False)
                for key in keys
            ),
        )
        for path, (environment, keys) in files.items()
    ]
    lines = list_shared(sources)
    assert [(each.place, each.text.partition(" ha")[0]) for each in lines] == [
        ("api/.env and web/.env", "JWT and TOKEN"),
        ("web/.env and jobs/.env", "SALT"),
        ("api/.env.production and web/.env.production", "JWT"),
    ]
    # The remedy is the same for all of them.
    assert ["shared_folders" in each.text for each in lines] == [False, False, True]
    assert [line for each in sources for line in notes(each.findings)] == []
    assert list_shared([]) == []


def _in(file: str, kind: str, key: str = "", *, remedy: str = "Look.") -> FileFinding:
    return FileFinding(file, 0, kind, key, "Git tracks it: its values are odd.", remedy, False)


def test_the_same_note_on_several_files_is_one_line_of_a_scan() -> None:
    files = ("api/.env", "web/.env", "jobs/.env")
    lines, remedies = group([line for each in files for line in notes([_in(each, "tracked")])])
    assert [(each.place, each.about) for each in lines] == [
        ("api/.env, web/.env and jobs/.env", "tracked")
    ]
    assert lines[0].text.startswith("Git tracks these files: ")
    assert lines[0].text.endswith(" Look.")
    assert remedies == {}


def test_a_remedy_of_several_notes_is_printed_once() -> None:
    found = [_in("api/.env", "empty", "A"), _in("web/.env", "empty", "B")]
    other = _in("web/.env", "odd-name", "C", remedy="Rename it.")
    lines, remedies = group(notes([*found, other]))
    assert [each.about for each in lines] == ["empty A", "empty B", "odd-name C"]
    assert ["Look." in each.text for each in lines] == [False, False, False]
    assert lines[2].text.endswith(" Rename it.")
    assert remedies == {"Look.": ["empty"]}


def test_the_choice_between_grammars_is_the_only_remedy_for_its_key() -> None:
    define = replace(finding("undefined-reference"), remedy="Define it.")
    assert explain([define, finding("grammars-disagree")]) == "It is odd. Look."
    assert explain([define]) == f"{define.message} {define.remedy}"


@pytest.mark.parametrize("kind", sorted(BLOCKING))
def test_a_blocking_finding_names_the_edit_of_the_plan(kind: str) -> None:
    of_key = FileFinding.of("backend/.env", Finding(3, kind, "FAKE", "It is odd.", "Mend it."))
    of_file = FileFinding.of("backend/.env", Finding(0, kind, "", "It is odd.", "Mend it."))
    assert of_key.remedy.startswith("Mend it. ")
    assert of_key.remedy.endswith("`decision: skip`.")
    assert of_file.remedy.startswith(of_key.remedy.removesuffix("."))
    assert of_file.remedy.endswith(" on this file.")
