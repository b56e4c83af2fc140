"""Where a sample such as `.env.example` and the files that it stands for have drifted apart."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence

from infisical_iac.dotenv import Finding, Reading, read
from infisical_iac.migrate.find import SAMPLES, words
from infisical_iac.migrate.findings import shown
from infisical_iac.migrate.model import FileFinding, Source


def drift(sources: Sequence[Source], samples: Mapping[str, bytes]) -> Iterator[FileFinding]:
    """Keys that a sample has and the files beside it lack, and the other way round.

    The files of one directory and environment count as one, because `.env.local` holds only what
    differs from `.env`. `samples` holds the bytes of each sample by its path.
    """
    for path, data in samples.items():
        directory, name = posixpath.split(path)
        suffix = [each for each in words(name) if each not in SAMPLES]
        groups: dict[str, list[Source]] = {}
        for each in sources:
            beside, other = posixpath.split(each.path)
            if beside == directory and (not suffix or words(other)[: len(suffix)] == suffix):
                groups.setdefault(each.environment, []).append(each)
        for group in groups.values():
            yield from _between(path, read(data, group[0].grammar), group)


def _between(path: str, sample: Reading, group: Sequence[Source]) -> Iterator[FileFinding]:
    keys = {key for each in group for key in each.reading.values}
    lines = sample.lines
    for key in (each for each in lines if each not in keys):
        message = f"{path}:{lines[key]} names it, and no file beside it has it."
        remedy = "See whether the service needs it, and add it before the move."
        found = Finding(0, "missing", shown(key, sample.values[key]), message, remedy)
        yield FileFinding.of(group[0].path, found)
    for each in group:
        values = each.reading.values
        for key in (name for name in values if name not in lines):
            remedy = "Add its name there, or remove it here if nothing reads it."
            message = f"{path} doesn't name it."
            name = shown(key, values[key])
            found = Finding(each.line(key), "not-in-sample", name, message, remedy)
            yield FileFinding.of(each.path, found)
