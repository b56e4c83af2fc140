"""Typed configurations by a pydantic model."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

    from .bootstrap import Bootstrap

M = TypeVar("M", bound="BaseModel")


def names(schema: type[BaseModel]) -> Iterator[str]:
    """Return the names of the values that a model reads its fields from."""
    for name, field in schema.model_fields.items():
        alias = field.validation_alias
        for each in getattr(alias, "choices", [alias or name]):
            if isinstance(each, str):
                yield each


def parse(schema: type[M], values: Mapping[str, str], place: Bootstrap) -> M:
    """Return the model of the values.

    Raises ConfigError `invalid` with fields and kinds; pydantic's own messages quote the values.
    """
    from pydantic import ValidationError

    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
    kinds = (f"{(*each['loc'], 'the whole')[0]} ({each['type']})" for each in problems)
    raise place.error("invalid", problems=", ".join(dict.fromkeys(kinds)))
