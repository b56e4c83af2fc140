"""Test that two primaries and incomplete watches are reported, and when a cluster is at rest."""

import os
import re
import threading
from pathlib import Path

import pytest

from tests.cluster.postmaster import parse, postmaster
from tests.cluster.waiting import Missing, at_rest
from tests.cluster.watch import Answer, Watch, blind, find_overlaps
from tests.staging import entering
from tests.staging.host import StagingHost
from tests.unit.fake_programs import fake_docker


def primary(host: int, *times: float, postmaster: str = "x") -> list[Answer]:
    """Return the answers of a primary, each half a second after its question."""
    return [Answer(host, each, each + 0.5, postmaster) for each in times]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        # A failover may lie between the last answer of host 1 and the first answer of host 2.
        ([*primary(1, 0, 2), *primary(2, 2, 4)], []),
        ([*primary(1, 0, 2), *primary(2, 3, 5)], []),
        ([*primary(1, 0, 2, 4), *primary(2, 2, 4)], ["hosts 1 and 2 for 1.5 s"]),
        # Another postmaster may have been a standby in between.
        ([*primary(1, 0), *primary(1, 6, postmaster="y"), *primary(2, 2, 4)], []),
        ([*primary(1, 0, 6), *primary(2, 2, 4)], ["hosts 1 and 2 for 1.5 s"]),
        ([*primary(1, 0, 2, 4), *primary(1, 1, 3, postmaster="y")], []),
        ([Answer(1, 0, 1), Answer(2, 0, 1), Answer(1, 2, 3), Answer(2, 2, 3)], []),
    ],
)
def test_two_primaries_are_reported_only_if_they_overlap_for_certain(
    answers: list[Answer], expected: list[str]
) -> None:
    assert find_overlaps(answers) == expected


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        (range(0, 60, 2), []),
        (range(0, 60, 5), []),
        (range(0, 60, 7), [["1", "9", "60", "7"]]),
        ([*range(10), *range(41, 60)], [["1", "29", "60", "32"]]),
        (range(25), [["1", "25", "60", "36"]]),
        ([], [["1", "0", "60", "60"]]),
    ],
)
def test_a_host_that_answers_too_seldom_is_reported(
    moments: list[float], expected: list[list[str]]
) -> None:
    """The numbers are the host, its answers, the seconds of the watch, and the longest silence."""
    found = blind([Answer(1, each - 0.5, each) for each in moments], [1], 0, 60)
    assert [re.findall(r"\d+", sentence) for sentence in found] == expected


def test_hosts_are_asked_while_another_hangs_or_fails() -> None:
    enough, asked, answered = threading.Event(), [], []

    def ask(host: int) -> str | None:
        if host == 1:
            enough.wait(10)
            return None
        if host == 2:
            asked.append(host)
            raise ValueError("no sense")
        answered.append(host)
        if len(answered) > 5 and len(asked) > 5:
            enough.set()
        return "x"

    with Watch(ask, (1, 2, 3), interval=0.01) as watch:
        assert enough.wait(10)
    assert {each.host for each in watch.answers} == {3}
    said = watch.blind()
    assert [each.split(" in ")[0] for each in said[:2]] == [
        "host 1 answered 0 times",
        "host 2 answered 0 times",
    ]
    assert said[-1] == "host 2: ValueError: no sense"


@pytest.mark.parametrize(
    ("stdout", "stderr", "expected"),
    [
        ("f|1795000000.123456\nasked\n", "", "1795000000.123456"),
        ("t|1795000000.123456\nasked\n", "", ""),
        ("asked\n", "psql: error: connection to server failed", ""),
        ("", "Error response from daemon: container abc is not running", ""),
        ("t|1795000000.1\nf|1795000009.1\nasked\n", "", "1795000009.1"),
        ("", "Cannot connect to the Docker daemon", None),
        ("", "", None),
    ],
)
def test_a_primary_a_standby_and_no_answer_are_distinguished(
    stdout: str, stderr: str, expected: str | None
) -> None:
    found = parse(stdout, stderr)
    assert found == expected


@pytest.mark.parametrize(
    ("found", "said", "status", "expected"),
    [
        ("one", "f|1795000000.5", 0, "1795000000.5"),
        ("one", "t|1795000000.5", 0, ""),
        ("", "", 0, ""),
        ("one", "", 2, ""),
        ("one", "", 1, None),
        ("one", "", 124, None),
    ],
)
def test_a_host_is_asked_for_its_postmaster(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: str,
    said: str,
    status: int,
    expected: str | None,
) -> None:
    fake_docker(tmp_path, f"ps*) echo {found} ;; exec*) echo '{said}'; exit {status} ;;")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(entering, "into", lambda _: ())
    assert postmaster(StagingHost("fake"), 1) == expected


ETCD, BOTH, NOTHING = frozenset({"etcd-1"}), frozenset({"etcd-1", "etcd-2"}), frozenset[str]()


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([NOTHING], True),
        ([BOTH, ETCD, NOTHING], True),
        ([ETCD] * 5, False),
        ([ETCD] * 10, True),
        # The hosts recover one by one, so fewer are missing each time.
        ([*[BOTH] * 5, *[ETCD] * 5], False),
        # One of the two hosts fails again and again.
        ([ETCD, BOTH] * 5, True),
    ],
)
def test_a_cluster_is_at_rest_once_the_same_nodes_are_missing_for_long(
    seen: list[Missing], expected: bool
) -> None:
    assert at_rest([(2.0 * number, each) for number, each in enumerate(seen)], 8) is expected
