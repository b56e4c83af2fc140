"""Test which files of a former leader's unfinished change are removed, and which are reported."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.cluster import change, deploy, stack


@pytest.mark.parametrize(
    ("what", "state", "is_reported"),
    [
        ("upgrade", "20261125T101112Z-v0.165.16 swapped image", True),
        ("restore", "20261125T101112Z data", True),
        ("restore", "20261125T101112Z keys", False),
        ("scale", "20261125T101112Z out switched", False),
    ],
)
def test_data_set_aside_by_a_former_leader_are_reported(
    what: str, state: str, is_reported: bool
) -> None:
    which, *how = state.split()
    said = " ".join(deploy._describe_kept_data(what, which, how, "node-1"))
    assert ("infisical_before_20261125t101112z" in said) is is_reported


@pytest.mark.parametrize(
    ("what", "goes"),
    [
        ("rotation", {"etc/infisical/keys/redis_password.next", "etc/infisical/keys/x.old"}),
        ("restore", {"var/lib/infisical-restore/fetched/database.dump"}),
    ],
)
def test_old_passwords_and_copies_of_data_are_removed_and_keys_stay(
    tmp_path: Path, what: str, goes: set[str]
) -> None:
    stays = {
        "etc/infisical/keys/redis_password",
        "var/lib/infisical-restore/aside/x/files/keys/encryption_key",
    }
    for path in goes | stays:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("obviously-fake")
    places = deploy._related_paths(what).replace("/etc/", f"{tmp_path}/etc/")
    places = places.replace("/var/lib/", f"{tmp_path}/var/lib/")
    subprocess.run(["sh", "-c", f"rm -rf {places}"], check=True)
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert left == stays


@pytest.mark.parametrize(
    ("leads", "steps"),
    [
        (True, ["node_tasks", "follow", "end", "networks", "version_change", "services"]),
        (False, ["node_tasks", "follow", "discard"]),
    ],
)
def test_every_node_takes_up_changes_after_a_boot_and_a_former_leader_discards_its_own(
    monkeypatch: pytest.MonkeyPatch, leads: bool, steps: list[str]
) -> None:
    """Any node may lead when its host restarts."""
    taken: list[str] = []

    def record(what: Any, name: str, step: str = "") -> None:
        monkeypatch.setattr(what, name, lambda *_, **__: taken.append(step or name))

    for name in ("node_tasks", "networks", "services"):
        record(stack, name)
    record(change, "version_change")
    record(deploy, "follow_transactions", "follow")
    record(deploy, "end_interrupted", "end")
    record(deploy, "unfinished_changes", "discard")
    monkeypatch.setattr(deploy, "cluster_site_of", lambda _: None)
    project = SimpleNamespace(project=SimpleNamespace(slug="chainalign"))
    known: Any = SimpleNamespace(leads=leads, machine=None, workspace=project)
    deploy.roll_out(known)
    assert taken == steps
