"""Test typed configurations with pydantic."""

from pathlib import Path

import pytest
from pydantic import AliasChoices, BaseModel, Field, Json, field_validator, model_validator

from infisical_config import ConfigError, load
from tests.scripted import ScriptedServer, listing


class Settings(BaseModel):
    """The settings of a service."""

    database_url: str = Field(alias="DATABASE_URL")
    port: int = Field(8000, validation_alias=AliasChoices("APP_PORT", "PORT"))
    A: str = "default"


def test_load_returns_the_parsed_model(server: ScriptedServer, home: Path) -> None:
    server.scripts["list"] = [listing(DATABASE_URL="postgres://", PORT="80")]
    settings = load(directory=home, schema=Settings)
    assert settings == Settings(DATABASE_URL="postgres://", PORT=80)
    assert settings.port == 80


def test_keys_that_infisical_lacks_come_from_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://own")
    monkeypatch.setenv("APP_PORT", "81")
    settings = load(directory=home, schema=Settings)
    assert (settings.database_url, settings.port) == ("postgres://own", 81)
    assert settings.A == "value-of-a"


def test_strict_mode_passes_the_names_of_the_schema(server: ScriptedServer, home: Path) -> None:
    server.scripts["list"] = [listing(DATABASE_URL="postgres://", APP_PORT="80", OTHER="x")]
    into: dict[str, str] = {}
    warnings: list[str] = []
    load(directory=home, schema=Settings, strict=True, into=into, warn=warnings.append)
    assert into == {"DATABASE_URL": "postgres://", "APP_PORT": "80"}
    (warning,) = warnings
    assert warning.startswith("left out, ")
    assert warning.endswith(": OTHER")


class Strict(BaseModel):
    """Fields whose validators quote the value."""

    PORT: int
    A: str
    MAP: Json[dict[str, int]]
    GONE: str

    @field_validator("A")
    @classmethod
    def _quotes(cls, value: str) -> str:
        raise ValueError(f"{value} is wrong")


def test_an_error_names_fields_and_kinds_and_no_value(server: ScriptedServer, home: Path) -> None:
    server.scripts["list"] = [listing(PORT="leak-1", A="leak-2", MAP='{"leak-3": "leak-4"}')]
    into: dict[str, str] = {}
    with pytest.raises(ConfigError) as failure:
        load(directory=home, schema=Strict, into=into)
    assert failure.value.code == "invalid"
    assert str(failure.value) == (
        "PORT (int_parsing), A (value_error), MAP (int_parsing), GONE (missing) in production"
        f" /backend of {server.address}: correct the values"
    )
    assert failure.value.__context__ is None
    assert into == {}


class Whole(BaseModel):
    """A model whose values are wrong as a whole, not in one field."""

    A: str

    @model_validator(mode="after")
    def _never(self) -> "Whole":
        raise ValueError(self.A)


def test_an_error_of_the_model_as_a_whole_is_reported(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"^the whole \(value_error\) in production"):
        load(directory=home, schema=Whole)
