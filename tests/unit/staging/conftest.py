"""Share fixtures between the tests of faults."""

from collections.abc import Iterator

import pytest

from tests.unit.fake_nodes import FakeApiNode, three_nodes


@pytest.fixture
def nodes() -> Iterator[list[FakeApiNode]]:
    """Three nodes that serve the API."""
    with three_nodes() as nodes:
        yield nodes
