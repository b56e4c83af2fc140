"""The order in which each parser returns what it read: it decides what a reference can see."""

_LAST_INDEX = 2**32 - 2


def in_order(grammar: str, values: dict[str, str]) -> dict[str, str]:
    """The values (in the order of their first assignment) as the grammar's parser orders them."""
    if grammar in ("compose", "node-env-file"):
        values = dict(sorted(values.items()))
    if grammar in ("dotenv", "dotenv-expand", "next", "node-env-file"):
        values = _as_object(values)
    return values


def _as_object(values: dict[str, str]) -> dict[str, str]:
    """As JavaScript orders an object: keys that are array indices first, by number."""
    indices = sorted((key for key in values if _is_index(key)), key=int)
    return {key: values[key] for key in indices} | values if indices else values


def _is_index(key: str) -> bool:
    return (
        len(key) <= len(str(_LAST_INDEX))
        and key.isascii()
        and key.isdigit()
        and str(int(key)) == key
        and int(key) <= _LAST_INDEX
    )
