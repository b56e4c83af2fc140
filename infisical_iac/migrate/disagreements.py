"""Keys that plausible loaders read in different ways: which one counts, a person must say."""

from collections.abc import Iterable, Iterator, Mapping

from infisical_iac.dotenv import Finding, Reading, read
from infisical_iac.migrate import multiline_keys
from infisical_iac.migrate.findings import shown


def disagreements(data: bytes, reading: Reading, others: Iterable[str]) -> Iterator[Finding]:
    """A finding for each key that one of the grammars `others` reads otherwise than `reading`.

    Args:
        data: the bytes that `reading` was made from.
    """
    if reading.error:
        return  # that is told already, and no key could agree
    readings = [multiline_keys.drop_pem_pieces(read(data, grammar), data) for grammar in others]
    able = [each for each in readings if not each.error]
    lines = {key: line for each in (*able, reading) for key, line in each.lines.items()}
    values, of_others = reading.values, {each.grammar: each.values for each in able}
    for key, line in lines.items():
        own = values.get(key)
        told = [
            f"{grammar} {_told(own, other.get(key))}"
            for grammar, other in of_others.items()
            if other.get(key) != own
        ]
        if told:
            yield Finding(
                line,
                "grammars-disagree",
                _shown(key, (values, *of_others.values())),
                f"{reading.grammar} {_length(own)}, {', '.join(told)}.",
                "Say in the plan which grammar counts, or quote it so that all read the same.",
            )
    for each in readings:
        if each.error:
            yield Finding(
                0,
                "refused-by-another",
                "",
                f"{each.grammar}, which may read it too, refuses the file: {each.error}",
                "Set it right if the service reads it so.",
            )


def _shown(key: str, readings: Iterable[Mapping[str, str]]) -> str:
    """The name as it may be printed, whichever of the readings is right."""
    may = all(shown(key, values[key]) for values in readings if key in values)
    return key if may else ""


def _told(own: str | None, other: str | None) -> str:
    if own is not None and other is not None and len(own) == len(other):
        return "other ones"
    return _length(other)


def _length(value: str | None) -> str:
    if value is None:
        return "reads no such key"
    return f"reads {len(value)} character{'' if len(value) == 1 else 's'}"
