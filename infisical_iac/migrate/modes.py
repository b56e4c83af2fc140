"""Find what shows when a loader reads several files by mode: which keys an environment would
lose.
"""

import posixpath
from collections.abc import Iterator, Sequence

from infisical_iac.dotenv import Finding
from infisical_iac.dotenv.grammar import Cascade
from infisical_iac.migrate import cascades
from infisical_iac.migrate.cascades import cascade, is_of_every_mode
from infisical_iac.migrate.findings import is_bootstrap, shown
from infisical_iac.migrate.model import FileFinding, Source

_NAMED = 5  # of the keys


def of_modes(sources: Sequence[Source]) -> Iterator[FileFinding]:
    """The findings on files that are read in every mode, or in none that their loader has."""
    others = _of_one_mode(sources)
    for source in sources:
        found = cascade(source)
        if found is None:
            continue
        if not is_of_every_mode(source):
            yield from _unread(source, found)
            continue
        here = others.get((posixpath.dirname(source.path), source.loader), [])
        files = [each for each in here if each.environment != source.environment]
        if posixpath.basename(source.path) == cascades.LOCAL or not files:
            yield _every_mode(source, found)
        else:
            yield from _lacking(source, found, files)


def _of_one_mode(sources: Sequence[Source]) -> dict[tuple[str, str], list[Source]]:
    """The files that are read in one mode only, by directory and loader."""
    made: dict[tuple[str, str], list[Source]] = {}
    for each in sources:
        if cascade(each) and each.environment and not is_of_every_mode(each):
            made.setdefault((posixpath.dirname(each.path), each.loader), []).append(each)
    return made


def _lacking(source: Source, found: Cascade, files: Sequence[Source]) -> Iterator[FileFinding]:
    """A finding for each environment of `files` in which the loader takes keys from here alone."""
    for environment in dict.fromkeys(each.environment for each in files):
        there = [each for each in files if each.environment == environment]
        if posixpath.basename(source.path) not in there[0].layers:
            continue
        has = {key for each in there for key in each.reading.values}
        values = source.reading.values
        lacks = [key for key in values if key not in has and not is_bootstrap(key)]
        if lacks:
            yield _told(
                source,
                "lacking",
                f"{found.title} reads it in {environment} too, and only here are "
                f"{_named([shown(key, values[key]) or 'one' for key in lacks])}; it goes to one "
                "environment alone.",
                f"Add what {environment} needs to {posixpath.basename(there[0].path)} and plan "
                "again, or decide `store`.",
            )


def _named(keys: Sequence[str]) -> str:
    more = [f"{len(keys) - _NAMED} more"] if len(keys) > _NAMED else []
    return ", ".join([*keys[:_NAMED], *more])


def _every_mode(source: Source, found: Cascade) -> FileFinding:
    return _told(
        source,
        "every-mode",
        f"{found.title} reads it in production too, and here it goes to one environment alone.",
        "Add to the production file the keys that it lacks.",
    )


def _unread(source: Source, found: Cascade) -> Iterator[FileFinding]:
    name, mode = posixpath.basename(source.path), cascades.mode(source)
    if name not in found.names(mode):
        yield _told(
            source,
            "unread",
            f"{found.title} reads no file of this name by itself.",
            "See what reads it, or leave the file out.",
        )
    elif found.modes and mode not in found.modes:
        yield _told(
            source,
            "unread",
            f"{found.title} has the modes {', '.join(found.modes)} only: it doesn't read this.",
            "See what reads it, or leave the file out.",
        )


def _told(source: Source, kind: str, message: str, remedy: str) -> FileFinding:
    return FileFinding.of(source.path, Finding(0, kind, "", message, remedy))
