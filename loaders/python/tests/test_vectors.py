"""Test the decisions that both loaders share, without a server."""

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infisical_config import ConfigError, files
from infisical_config.bootstrap import PRODUCTION, Bootstrap, Part
from infisical_config.errors import ABSENT, IN_PLACE_OF, TEXTS, TUNNEL, UNTRUSTED
from infisical_config.families import CREDENTIALS, FAMILIES, is_withheld
from infisical_config.merge import Answer, merge
from infisical_config.sealing import Unreadable, unseal
from infisical_config.starting import Start
from infisical_config.withheld import Policy
from tests.vectors import VECTORS, cases

PLACE = Bootstrap(
    "id-example",
    "secret-example",
    "production",
    "https://secrets.example.com",
    "00000000-0000-4000-8000-000000000001",
    "/backend",
)


def _imports(case: dict[str, Any]) -> tuple[Part, ...]:
    return tuple(Part(each["project"], each["folder"]) for each in case["imports"])


def test_error_messages_equal_the_shared_ones() -> None:
    shared = dict(VECTORS["errors"])
    del shared["not_configured"]  # whose messages the cases below compare
    assert (shared, VECTORS["tunnel"]) == (TEXTS, TUNNEL)
    assert (VECTORS["untrusted"], VECTORS["inPlaceOf"]) == (UNTRUSTED, IN_PLACE_OF)
    assert VECTORS["absent"] == ABSENT


def test_the_names_of_production_equal_the_shared_ones() -> None:
    assert VECTORS["production"] == [*PRODUCTION]


@pytest.mark.parametrize(
    ("address", "tunnel"),
    [("http://127.0.0.1:8080", TUNNEL), ("https://secrets.example.com", "")],
)
def test_an_unreachable_loopback_address_names_the_tunnel(address: str, tunnel: str) -> None:
    error = replace(PLACE, address=address).error("unreachable")
    assert str(error) == TEXTS["unreachable"].format(address=address, tunnel=tunnel)


@pytest.mark.parametrize(("code", "status"), VECTORS["exitStatus"].items())
def test_an_error_has_the_shared_exit_status(code: Any, status: int) -> None:
    assert ConfigError(code, "").exit_code == status


@cases("bootstrap")
def test_a_place_is_found_as_the_vectors_say(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, env_file = tmp_path / ".infisical.json", tmp_path / ".env.local"
    if case["file"] is not None:
        file.write_text(case["file"])
    if case["envLocal"] is not None:
        env_file.write_bytes(case["envLocal"].encode())
        env_file.chmod(int(case["envLocalMode"], 8))
    below = tmp_path / "src"
    below.mkdir()
    directory = below if case["file"] is not None else tmp_path
    warnings: list[str] = []

    def fill(text: str) -> str:
        return text.replace("{file}", str(file)).replace("{envLocal}", str(env_file))

    def find_place() -> Bootstrap:
        monkeypatch.setattr("os.environ", case["environ"])
        return Start(
            environment=case["environment"],
            directory=directory,
            allow_http=case["allowHttp"],
            strict=case["strict"],
            allow=case["allow"],
            required=case["required"],
            warn=warnings.append,
        ).place()

    want = case["want"]
    if "error" in want:
        with pytest.raises(ConfigError) as failure:
            find_place()
        assert failure.value.code == want["error"]
        assert str(failure.value) == fill(want["message"])
    else:
        assert find_place() == Bootstrap(
            want["clientId"],
            want["clientSecret"],
            want["environment"],
            want["address"],
            want["project"],
            want["folder"],
            policy=Policy(tuple(want["allow"]), want["strict"]),
            imports=_imports(want),
        )
    assert warnings == [fill(each) for each in case["warnings"]]


@cases("local")
def test_a_developers_own_files_count_as_the_vectors_say(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"workspaceId": "project", "domain": "https://secrets.example.com"}
    (tmp_path / ".infisical.json").write_text(json.dumps(settings))
    own = {"envLocal": tmp_path / ".env.local", "envOverride": tmp_path / ".env.override"}
    for key, file in own.items():
        if case[key] is not None:
            file.write_bytes(case[key].encode())
            file.chmod(int(case["mode"] if key == "envOverride" else "600", 8))
    warnings: list[str] = []
    into: dict[str, str] = {}

    def fill(text: str) -> str:
        return text.replace("{envLocal}", str(own["envLocal"])).replace(
            "{envOverride}", str(own["envOverride"])
        )

    def begin() -> None:
        monkeypatch.setattr("os.environ", case["environ"])
        start = Start(
            environment=case["environment"],
            directory=tmp_path,
            override=case["override"],
            strict=case["strict"],
            allow=case["allow"],
            required=case["required"],
            into=into,
            warn=warnings.append,
        )
        place = start.place()
        start.finish(start.values(case["secrets"], place), place)

    want = case["want"]
    if "error" in want:
        with pytest.raises(ConfigError) as failure:
            begin()
        assert (failure.value.code, str(failure.value)) == (want["error"], fill(want["message"]))
    else:
        begin()
        assert into == want["into"]
    assert warnings == [fill(each) for each in case["warnings"]]


@cases("places")
def test_files_of_other_users_are_judged_as_the_vectors_say(case: dict[str, Any]) -> None:
    places = [
        files.Directory(each["uid"], each["gid"], int(each["mode"], 8), each["file"])
        for each in case["directories"]
    ]
    process = files.Process(**case["process"])
    verdicts = [files.judge(each, places[0], process) for each in places]
    end = next((n for n, verdict in enumerate(verdicts) if verdict != "go on"), None)
    taken = end if end is not None and verdicts[end] == "take" else None
    refused = end if end is not None and verdicts[end] == "refuse" else None
    assert (taken, refused) == (case["want"], case["refused"])


@cases("merge")
def test_an_answer_is_merged_into_values(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", case["environ"])
    warnings: list[str] = []
    into: dict[str, str] = {}
    start = Start(
        override=case["override"], required=case["required"], into=into, warn=warnings.append
    )
    policy = Policy(tuple(case["allow"]), case["strict"])
    place = replace(PLACE, policy=policy, imports=_imports(case))
    given = [case["answer"], *(each["answer"] for each in case["imports"])]
    answers = [
        Answer(each["secrets"], [group["secrets"] for group in each["imports"]]) for each in given
    ]

    def values() -> dict[str, str]:
        return start.values(merge(answers, place), place)

    want = case["want"]
    if "error" in want:
        with pytest.raises(ConfigError) as failure:
            values()
        assert (failure.value.code, str(failure.value)) == (want["error"], want["message"])
        return
    config = start.finish(values(), place)
    assert dict(config) == want["values"]
    exported = {name: v for name, v in want["values"].items() if name not in want["notExported"]}
    assert into == exported
    lists = (want["withheld"], want["leftOut"], want["notExported"])
    listed = [", ".join(names) for names in lists if names]
    assert [part.partition(": ")[2] for each in warnings for part in each.split("; ")] == listed


@pytest.mark.parametrize("name", VECTORS["withheldNames"]["withheld"])
def test_a_name_that_runs_code_or_redirects_connections_is_withheld(name: str) -> None:
    assert is_withheld(name, windows=False)
    assert is_withheld(name.swapcase(), windows=True)


@pytest.mark.parametrize("name", VECTORS["withheldNames"]["kept"])
def test_a_name_of_a_services_own_is_not_withheld(name: str) -> None:
    assert not is_withheld(name, windows=False)


@pytest.mark.parametrize("name", VECTORS["withheldNames"]["withheldOnWindows"])
def test_a_name_in_another_case_is_withheld_on_windows(name: str) -> None:
    assert [is_withheld(name, windows=windows) for windows in (False, True)] == [False, True]


def test_families_of_withheld_names_equal_the_shared_vectors() -> None:
    shared = VECTORS["withheld"]
    assert shared["credentials"].split() == list(CREDENTIALS)
    assert [
        {
            "family": each.family,
            "names": each.names.split(),
            "prefixes": each.prefixes.split(),
            "suffixes": each.suffixes.split(),
            "except": each.exceptions.split(),
            "anyCase": each.any_case,
            "closed": each.closed,
        }
        for each in FAMILIES
    ] == [
        {
            key: value.split() if key in ("names", "prefixes", "suffixes", "except") else value
            for key, value in each.items()
            if key != "reason"
        }
        for each in shared["families"]
    ]


def test_generated_families_are_up_to_date() -> None:
    """`python loaders/generate.py` writes the families and the page again."""
    made = runpy.run_path(str(Path(__file__).parents[2] / "generate.py"))["files"]()
    assert [file for file, text in made.items() if file.read_text("utf-8") != text] == []


@cases("cache")
def test_a_cache_file_is_opened_as_the_vectors_say(case: dict[str, Any]) -> None:
    place = Bootstrap(
        case["clientId"],
        case["clientSecret"],
        case["environment"],
        case["address"],
        case["project"],
        case["folder"],
        imports=_imports(case),
    )
    want = case["want"]
    if want == "unreadable":
        with pytest.raises(Unreadable):
            unseal(case["file"].encode(), place, now=case["now"])
        return
    cached = unseal(case["file"].encode(), place, now=case["now"])
    assert (cached.age > case["maxAge"]) == (want == "expired")
    assert want == "expired" or cached.secrets == want["values"]
