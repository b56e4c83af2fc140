"""Test the wording of messages of the fault tests. Other tests assert numbers."""

from tests.cluster.watch import blind


def test_wording_of_a_host_that_answers_too_seldom() -> None:
    assert blind([], [1], 0, 60) == ["host 1 answered 0 times in 60 s, and not once for 60 s"]
