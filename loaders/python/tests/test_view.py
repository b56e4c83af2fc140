"""Test that a configuration can be read, but neither changed nor printed."""

import copy
import json
import pickle

import pytest

from infisical_config import Config

VALUE = "value-never-shown"
CONFIG = Config({"TOKEN": VALUE, "keys": "k"})


def test_values_are_read_by_name_and_as_attributes() -> None:
    assert CONFIG["TOKEN"] == CONFIG.TOKEN == CONFIG.get("TOKEN") == VALUE
    assert CONFIG["keys"] == "k"
    assert {**CONFIG} == {"TOKEN": VALUE, "keys": "k"}


def test_a_missing_name_is_reported() -> None:
    with pytest.raises(KeyError, match="MISSING"):
        CONFIG["MISSING"]
    with pytest.raises(AttributeError, match="has no MISSING"):
        CONFIG.MISSING  # noqa: B018
    assert not hasattr(CONFIG, "MISSING")


@pytest.mark.parametrize("show", [repr, str, format, ascii, lambda it: f"{it!r} {it}"])
def test_printing_shows_names_only(show: object) -> None:
    assert callable(show)
    assert "TOKEN" in show(CONFIG)
    assert VALUE not in show(CONFIG)


@pytest.mark.parametrize("dump", [json.dumps, pickle.dumps, copy.deepcopy, vars])
def test_a_configuration_is_not_serialized(dump: object) -> None:
    assert callable(dump)
    with pytest.raises(TypeError) as failure:
        dump(CONFIG)
    assert VALUE not in str(failure.value)


def test_a_configuration_is_read_only() -> None:
    with pytest.raises(AttributeError, match="read-only: TOKEN can't be set"):
        CONFIG.TOKEN = "other"
    with pytest.raises(AttributeError, match="read-only: TOKEN can't be removed"):
        del CONFIG.TOKEN
    with pytest.raises(TypeError):
        CONFIG["TOKEN"] = "other"  # type: ignore[operator]
    assert CONFIG.TOKEN == VALUE


def test_a_configuration_copies_its_values() -> None:
    values = {"A": "1"}
    config = Config(values)
    values["A"] = "2"
    assert config.A == "1"
