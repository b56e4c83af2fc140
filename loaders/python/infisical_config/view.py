"""The configuration that a program gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn


class Config(Mapping[str, str]):
    """Names and values, read-only: `config["DATABASE_URL"]`, or `config.DATABASE_URL`.

    Printing it shows only the names. A name that is also a method, such as `keys`, needs the
    brackets.
    """

    __slots__ = ("_values",)
    _values: dict[str, str]

    def __init__(self, values: Mapping[str, str]) -> None:
        object.__setattr__(self, "_values", dict(values))

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __getattr__(self, name: str) -> str:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"the configuration has no {name}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Config: {', '.join(self._values)}>"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"the configuration is read-only: {name} can't be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"the configuration is read-only: {name} can't be removed")

    def __reduce__(self) -> NoReturn:
        raise TypeError("the configuration is not pickled: its values would leave the process")
