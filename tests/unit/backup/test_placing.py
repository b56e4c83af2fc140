"""Test which files of a kit are put on a host, and which of the host's files move aside."""

import pytest

from infisical_iac.backup.kit_host import decide, of_cluster
from infisical_iac.backup.restore import RestoreSite
from infisical_iac.cluster.restore import ClusterRestoreSite
from infisical_iac.core.errors import Refused
from tests.unit import clusters
from tests.unit.backup.kits import FILES

_OTHER = {**FILES, "deployer.env": "another"}


def test_a_bare_host_gets_all_files_of_a_kit() -> None:
    placing = decide(FILES, {}, replace=False)
    assert (placing.put, placing.aside) == (FILES, ())


def test_a_host_with_the_same_files_gets_no_file() -> None:
    placing = decide(FILES, FILES, replace=False)
    assert (placing.put, placing.aside) == ({}, ())


def test_a_host_keeps_its_files_without_a_kit() -> None:
    assert decide({}, FILES, replace=False).put == {}


def test_a_file_that_differs_on_the_host_stays() -> None:
    assert decide(FILES, _OTHER, replace=False).put == {}


def test_a_file_that_differs_moves_aside_with_replace_keys() -> None:
    placing = decide(FILES, {**_OTHER, "keys/more": "own"}, replace=True)
    assert placing.put == {"deployer.env": FILES["deployer.env"]}
    assert placing.aside == ("deployer.env",)


@pytest.mark.parametrize("path", ["keys/encryption_key", "keys/restic_password"])
def test_another_key_on_the_host_is_refused_unless_it_may_move_aside(path: str) -> None:
    host = {**FILES, path: "another"}
    with pytest.raises(Refused, match=f"has another {path} than the kit: .*--kit"):
        decide(FILES, host, replace=False)
    assert decide(FILES, host, replace=True).aside == (path,)


@pytest.mark.parametrize("path", ["keys/encryption_key", "keys/restic_password", "admin.env"])
def test_a_missing_key_is_named(path: str) -> None:
    host = {each: text for each, text in FILES.items() if each != path}
    with pytest.raises(Refused, match=f"no /etc/infisical/{path}: give the recovery kit"):
        decide({}, host, replace=False)
    assert decide({path: FILES[path]}, host, replace=False).put == {path: FILES[path]}


def test_the_repr_of_placed_files_holds_no_secret() -> None:
    assert "fake-" not in repr(decide(FILES, {}, replace=False))


def test_a_cluster_keeps_the_keys_of_its_own_servers() -> None:
    names = ("encryption_key", "auth_secret", "restic_password", "kit_signing_key")
    needed = {f"keys/{name}": "a" for name in (*names, "given_smtp_password")}
    own = {f"keys/{name}": "b" for name in ("postgres_password", "redis_password", "swarm_key")}
    assert of_cluster({**needed, **own, "admin.env": "c"}) == {**needed, "admin.env": "c"}


@pytest.mark.parametrize("kind", [RestoreSite, ClusterRestoreSite])
def test_a_secret_that_no_setting_uses_stays_in_the_kit(kind: type[RestoreSite]) -> None:
    """The next deploy would remove it again."""
    kit = {f"keys/given_{name}": "a" for name in ("license_key", "github_api_token")}
    made = kind(clusters.site(license_key="online"))
    assert made.files({**kit, "admin.env": "b"}) == {
        "keys/given_license_key": "a",
        "admin.env": "b",
    }
