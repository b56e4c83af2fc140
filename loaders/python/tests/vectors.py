"""The cases that both loaders share."""

import json
from pathlib import Path
from typing import Any

import pytest

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors.json").read_text("utf-8")
)


def case_of(case: dict[str, Any], group: str, client: str) -> dict[str, Any]:
    """Return a case as it is by a client."""
    if client == "http":
        return case
    other = VECTORS["sdk"][group].get(case["name"], {}).get("python", {})
    return {**case, **other, **case.get("sdk", {})}


def cases(group: str) -> pytest.MarkDecorator:
    """Return a test parameter for each case of a group, named as the case is."""
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=case["name"]) for case in VECTORS[group]]
    )
