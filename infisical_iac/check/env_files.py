"""Find what stands in `.env` files and samples, and should be in Infisical."""

import posixpath
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from infisical_iac.check.model import Finding
from infisical_iac.check.sensitive import is_sensitive
from infisical_iac.dotenv import read
from infisical_iac.migrate import files
from infisical_iac.migrate.find import is_env, is_sample
from infisical_iac.migrate.findings import is_bootstrap, shown
from infisical_iac.migrate.loaders import Signs
from infisical_iac.migrate.signs import Text

_MOVE = "Move it to Infisical: `infisical-iac migrate plan`."
_REWRITE = "Leave the value empty, and rotate it if it is or was in use."
_IGNORED = "The loaders ignore it: secrets belong in Infisical."


def findings(root: Path, paths: Sequence[str], text: Text, ignored: Set[str]) -> Iterator[Finding]:
    """The values in the `.env` files among `paths` that should be nowhere but in Infisical.

    Args:
        ignored: those of the paths that git ignores. Such a `.env.local` may hold what a
            service reaches Infisical with, and nothing else.
    """
    signs = Signs(paths, text)
    for path in paths:
        if is_env(posixpath.basename(path)):
            data, problem = files.content(root, path)
            if problem:
                yield Finding("unreadable-file", path, "", f"{problem} Delete it, or set it right.")
            else:
                grammar = signs.choose(path).sign.grammar
                yield from _in_file(path, data, grammar, is_ignored=path in ignored)


def is_local(path: str) -> bool:
    """Return whether it is a developer's own `.env.local`, which the loaders read."""
    return posixpath.basename(path) == ".env.local"


def _in_file(path: str, data: bytes, grammar: str, *, is_ignored: bool) -> Iterator[Finding]:
    reading = read(data, grammar)
    if reading.error:
        yield Finding("unreadable-file", path, "", f"{reading.error} Set it right.")
    written = {entry.key: entry.written for entry in reading.entries}
    local = is_local(path) and is_ignored
    for key, value in written.items():
        sensitive = is_sensitive(key, value, in_sample=is_sample(posixpath.basename(path)))
        place, name = f"{path}:{reading.lines[key]}", shown(key, value) or "a name without quotes"
        if local and is_bootstrap(key):
            continue
        if is_local(path) and not is_bootstrap(key):
            message = f"{name} is not one of the three variables. {_IGNORED}"
            yield Finding("in-env-local", place, name, message, is_note=not sensitive)
        elif sensitive:
            yield Finding("secret-in-file", place, name, f"{name} has {_what(path)}")


def _what(path: str) -> str:
    if is_local(path):
        return "a value, and git does not ignore the file. Add .env.local to .gitignore."
    if is_sample(posixpath.basename(path)):
        return f"a value that looks real, in a sample. {_REWRITE}"
    return f"a value that looks like a secret. {_MOVE}"
