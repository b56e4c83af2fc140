"""What both loaders decide alike, without a server."""

from pathlib import Path
from typing import Any

import pytest

from infisical_config import ConfigError, bootstrap, files
from infisical_config.bootstrap import Bootstrap
from infisical_config.errors import TEXTS
from infisical_config.merge import Answer, merge
from infisical_config.sealing import Unreadable, unseal
from infisical_config.starting import Start
from tests.vectors import VECTORS, cases

PLACE = Bootstrap(
    "id-example",
    "secret-example",
    "production",
    "https://secrets.example.com",
    "00000000-0000-4000-8000-000000000001",
    "/backend",
)


def test_the_words_of_every_error_are_the_shared_ones() -> None:
    shared = dict(VECTORS["errors"])
    del shared["not_configured"]  # whose sentences the cases below compare
    assert shared == TEXTS


@pytest.mark.parametrize(("code", "status"), VECTORS["exitStatus"].items())
def test_an_error_has_the_shared_exit_status(code: Any, status: int) -> None:
    assert ConfigError(code, "").exit_code == status


@cases("bootstrap")
def test_where_things_come_from(case: dict[str, Any], tmp_path: Path) -> None:
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

    def filled(text: str) -> str:
        return text.replace("{file}", str(file)).replace("{envLocal}", str(env_file))

    def found() -> Bootstrap:
        return bootstrap.find(
            case["environ"],
            directory,
            case["environment"],
            warnings.append,
            allow_http=case["allowHttp"],
        )

    want = case["want"]
    if "error" in want:
        with pytest.raises(ConfigError) as failure:
            found()
        assert failure.value.code == want["error"]
        assert str(failure.value) == filled(want["message"])
    else:
        assert found() == Bootstrap(
            want["clientId"],
            want["clientSecret"],
            want["environment"],
            want["address"],
            want["project"],
            want["folder"],
        )
    assert warnings == [filled(each) for each in case["warnings"]]


@cases("places")
def test_whose_file_is_read(case: dict[str, Any]) -> None:
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
def test_what_an_answer_makes(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", case["environ"])
    warnings: list[str] = []
    into: dict[str, str] = {}
    start = Start(
        override=case["override"], required=case["required"], into=into, warn=warnings.append
    )
    imports = [each["secrets"] for each in case["answer"]["imports"]]

    def values() -> dict[str, str]:
        return start.values(merge(Answer(case["answer"]["secrets"], imports), PLACE), PLACE)

    want = case["want"]
    if "error" in want:
        with pytest.raises(ConfigError) as failure:
            values()
        assert (failure.value.code, str(failure.value)) == (want["error"], want["message"])
        return
    config = start.finish(values(), PLACE)
    assert dict(config) == want["values"]
    exported = {name: v for name, v in want["values"].items() if name not in want["notExported"]}
    assert into == exported
    told = [", ".join(names) for names in (want["withheld"], want["notExported"]) if names]
    assert [part.partition(": ")[2] for each in warnings for part in each.split("; ")] == told


@cases("cache")
def test_what_a_cache_file_holds(case: dict[str, Any]) -> None:
    place = Bootstrap(
        case["clientId"],
        case["clientSecret"],
        case["environment"],
        case["address"],
        case["project"],
        case["folder"],
    )
    want = case["want"]
    if want == "unreadable":
        with pytest.raises(Unreadable):
            unseal(case["file"].encode(), place, now=case["now"])
        return
    cached = unseal(case["file"].encode(), place, now=case["now"])
    assert (cached.age > case["maxAge"]) == (want == "expired")
    assert want == "expired" or cached.secrets == want["values"]
