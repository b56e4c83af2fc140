"""Test that a replay reports answers that differ from the recording."""

from __future__ import annotations

import pytest

from .replay import Bindings

ONE = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


@pytest.mark.parametrize(
    ("recorded", "actual"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({}, {"a": 1}),
        ({"a": 1}, {"a": "1"}),
        ({"a": None}, {"a": ""}),
        ([1], [1, 2]),
        ("the slug already exists", "the slug exists"),
        ({"createdAt": "<timestamp>"}, {"createdAt": "today"}),
        ({"id": "uuid-1"}, {"id": "not-an-id"}),
        ({"clientSecretPrefix": "6260"}, {"clientSecretPrefix": "626"}),
    ],
)
def test_an_answer_that_differs_from_the_recording_is_reported(
    recorded: object, actual: object
) -> None:
    assert Bindings("http://here").differences(recorded, actual) != []


def test_the_same_placeholder_must_be_the_same_id_again() -> None:
    bound = Bindings("http://here")
    assert bound.differences({"id": "uuid-1"}, {"id": ONE}) == []
    assert bound.differences({"id": "uuid-1"}, {"id": OTHER}) != []


def test_an_id_inside_a_text_is_replaced() -> None:
    bound = Bindings("http://here")
    assert bound.differences("no uuid-1 here", f"no {ONE} here") == []
    assert bound.fill("/api/uuid-1") == f"/api/{ONE}"


@pytest.mark.parametrize(
    "items",
    [
        [{"secretKey": "ALPHA"}, {"secretKey": "BETA"}],
        [{"user": {"username": "ada@example.com"}}, {"user": {"username": "bob@example.com"}}],
        [{"identity": {"name": "backend"}}, {"identity": {"name": "deployer"}}],
    ],
)
def test_secrets_and_members_are_compared_in_any_order(items: list[object]) -> None:
    bindings = Bindings("http://127.0.0.1")
    assert bindings.differences(items, items[::-1]) == []
    assert bindings.differences(items, [items[0], items[0]]) != []
