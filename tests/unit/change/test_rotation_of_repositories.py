"""Test the rotation of the backup repositories' password, on a host and on a cluster."""

import pytest

from infisical_iac.change import rotation
from infisical_iac.change.keys import find_key
from infisical_iac.core.agent import Question
from infisical_iac.core.errors import RunFailed
from tests.unit.change.steps import NotingHost, recover, rotate
from tests.unit.clusters import settings, site


def _list_steps(what: str, suffix: str = "") -> list[str]:
    file = f" /etc/infisical/keys/restic_password{suffix}" if suffix else ""
    return [f"restic {what} {target}{file}" for target in ("local", "box")]


_TARGETS = ["rotation targets"]
_PREPARED = [*_TARGETS, *_list_steps("reach"), "rotation prepare restic_password"]


def test_every_repository_knows_the_new_password_before_the_host_uses_it(host: NotingHost) -> None:
    rotate("restic")
    end = ["rotation switch", *_list_steps("dismiss", ".old"), "rotation end"]
    assert host.steps == [*_PREPARED, *_list_steps("admit", ".next"), *end]


def test_an_unreachable_repository_is_named_before_anything_changes(
    host: NotingHost,
) -> None:
    host.failing = ["restic reach box"]
    with pytest.raises(RunFailed, match=r"^box: .*; nothing was changed: ") as failed:
        rotate("restic")
    assert failed.value.code == "run.no_repository"
    assert host.steps == [*_TARGETS, *_list_steps("reach")]


def test_all_repositories_keep_the_old_password_if_one_refuses_the_new_password(
    host: NotingHost,
) -> None:
    host.failing = [_list_steps("admit", ".next")[1]]
    with pytest.raises(RunFailed, match=r"box: .*; .* old one .* in use") as failed:
        rotate("restic")
    assert failed.value.code == "run.key_given_up"
    end = [*_list_steps("dismiss", ".next"), "rotation end"]
    assert host.steps == [*_PREPARED, *_list_steps("admit", ".next"), *end]


def test_an_old_password_that_cannot_be_removed_is_kept_for_the_next_run(host: NotingHost) -> None:
    host.failing = [_list_steps("dismiss", ".old")[0]]
    with pytest.raises(RunFailed, match=r"new restic key .* old one .*: local: ") as failed:
        rotate("restic")
    assert failed.value.code == "run.old_key_opens"
    assert host.steps[-1] == _list_steps("dismiss", ".old")[1]
    host.steps.clear()
    assert "new restic key" in recover("restic", "switched")
    end = ["rotation switch", *_list_steps("dismiss", ".old"), "rotation end"]
    assert host.steps == [*_TARGETS, *end]


def test_an_unused_new_password_is_removed_from_the_repositories(host: NotingHost) -> None:
    assert "old one" in recover("restic", "prepared")
    assert host.steps == [*_TARGETS, *_list_steps("dismiss", ".next"), "rotation end"]


def test_the_repository_of_each_node_follows_the_leader(
    host: NotingHost, nodes_of: dict[str, list[str]]
) -> None:
    (output,) = rotation.rotate(find_key("restic"), settings(), "chainalign", site())
    assert output.endswith("on 3 nodes.")
    key = "/etc/infisical/keys/restic_password"
    expected = [
        "restic reach local",
        f"write {key}.next",
        f"restic admit local {key}.next",
        f"write {key}.old",
        f"restic dismiss local {key}.old",
        f"rm -f {key}.next {key}.old",
    ]
    assert nodes_of == {"node-2": expected, "node-3": expected}
    assert host.steps.index("spread") == host.steps.index("rotation switch") + 1


def test_a_rotation_of_the_restic_key_is_refused_while_a_node_is_unreachable(
    host: NotingHost,
) -> None:
    with pytest.raises(RunFailed, match=r"^node-3 can't be reached"):
        rotation.rotate(find_key("restic"), settings(), "chainalign", site(unreachable=(3,)))
    assert host.steps == []


def test_reachable_nodes_get_a_new_password_before_a_shared_repository_drops_the_old(
    host: NotingHost, nodes_of: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[list[str]] = []

    def perform(asked: Question[None], *, doing: str) -> None:
        if asked.calls[0].name == "restic.dismiss":
            ended.append([*nodes_of["node-2"], *host.steps[-2:]])
        host.perform(asked, doing=doing)

    monkeypatch.setattr(rotation, "perform", perform)
    shared = {"name": "box", "repository": "s3:https://s3.example.com/box"}
    of = site(unreachable=(3,), backup_targets=(shared,))
    (output,) = rotation.rotate(find_key("restic"), of.settings, "chainalign", of)
    assert "nodes" not in output
    key = "/etc/infisical/keys/restic_password"
    assert ended
    handed = [f"write {key}.next", f"write {key}.old"]
    assert ended[0] == [*handed, "rotation switch", "spread"]
    assert "node-3" not in nodes_of
