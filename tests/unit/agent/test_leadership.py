"""Test that a host learns from the managers of the swarm that another one has led since."""

from pathlib import Path

import pytest

from infisical_iac.agent import leadership
from tests.unit.agent.fake_primary import FakePrimary


@pytest.fixture
def host(tmp_path: Path) -> FakePrimary:
    made = FakePrimary(tmp_path)
    made.begin(infisical="data")
    return made


def test_the_leader_labels_its_node_once(host: FakePrimary) -> None:
    for _ in range(2):
        leadership.claim(host)
    assert host.nodes[0][1] == {"infisical.led": "3"}
    assert sum("node update" in command for command, _ in host.ran) == 1
    leadership.refuse_former(host)


def test_a_host_that_does_not_lead_labels_nothing(host: FakePrimary) -> None:
    host.path("/etc/infisical/led").unlink()
    leadership.claim(host)
    assert host.nodes[0][1] == {}


@pytest.mark.parametrize(("led", "refused"), [("4", True), ("2", False)])
def test_a_later_leader_is_known_by_its_label(host: FakePrimary, led: str, refused: bool) -> None:
    host.nodes[1] = ("ready", {"infisical.led": led})
    if not refused:
        leadership.refuse_former(host)
        return
    with pytest.raises(RuntimeError) as error:
        leadership.refuse_former(host)
    assert error.value.args[0].code == "refused.former_leader"


def test_a_majority_of_the_managers_is_waited_for(
    host: FakePrimary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: host.failing.clear())
    host.failing.append("node ls")
    leadership.refuse_former(host)
    host.failing.append("node ls")
    monkeypatch.setattr(leadership, "_MAJORITY_SECONDS", 0)
    with pytest.raises(RuntimeError) as error:
        leadership.refuse_former(host)
    assert error.value.args[0] == leadership.NO_MAJORITY
