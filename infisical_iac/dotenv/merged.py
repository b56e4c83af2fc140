"""Read as Vite does: all files of a mode are merged, then references in all are replaced at
once.
"""

from collections.abc import Sequence
from dataclasses import replace

from infisical_iac.dotenv.expand import Expansion
from infisical_iac.dotenv.model import Reading
from infisical_iac.dotenv.order import in_order
from infisical_iac.dotenv.reading import read
from infisical_iac.dotenv.replacing import with_values
from infisical_iac.dotenv.text import Refused, Text

_GRAMMAR = "dotenv-expand"


def merged(files: Sequence[bytes], place: int, parser: str = "dotenv") -> Reading:
    """One of several files, with references replaced by what any of them has, also further down.

    Args:
        files: their bytes; a later one wins.
        place: which of them is read. What a later one has otherwise stays as it is written.
        parser: the grammar by which they are read before references are replaced.
    """
    readings = [read(data, parser) for data in files]
    own = replace(readings[place], grammar=_GRAMMAR)
    owners = {key: index for index, each in enumerate(readings) for key in each.values}
    written = in_order(
        _GRAMMAR, {key: value for each in readings for key, value in each.values.items()}
    )
    of_own, of_others = Text(""), Text("")
    values = dict(written)
    try:
        for key, value in written.items():
            text = of_own if owners[key] == place else of_others
            line = readings[owners[key]].lines[key]
            Expansion(text, {}, values).add(key, value, line)
    except Refused as refused:
        told = (*own.findings, refused.finding)
        return Reading(_GRAMMAR, (), told, refused.finding.message)
    here = {
        key: values[key] if written[key] == own.values[key] else own.values[key]
        for key in own.values
    }
    findings = sorted((*own.findings, *of_own.findings), key=lambda each: each.line)
    return replace(own, entries=tuple(with_values(own.entries, here)), findings=tuple(findings))
