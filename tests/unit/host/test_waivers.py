"""Test the waivers of Lynis, the tests that it skips."""

from pathlib import Path

WAIVERS = Path("tests/lynis/waivers.prf")


def test_each_waiver_stands_below_its_reason() -> None:
    _, *blocks = WAIVERS.read_text().strip().split("\n\n")
    assert len(blocks) > 10
    for block in blocks:
        comments = [line for line in block.splitlines() if line.startswith("# ")]
        waived = [line for line in block.splitlines() if line.startswith("skip-test=")]
        assert block.splitlines() == [*comments, *waived]
        assert comments, block
        assert waived, block
