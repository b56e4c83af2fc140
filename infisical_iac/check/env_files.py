"""Find secrets in the `.env` files of a repository, and gaps in the rules that exclude them."""

import json
import math
import os
import posixpath
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from infisical_iac.check.model import Cause, CheckFinding, Kind
from infisical_iac.core.errors import FileError
from infisical_iac.core.wording import join_names
from infisical_iac.dotenv import read
from infisical_iac.migrate import find, git, ignores
from infisical_iac.migrate.evidence import Text, upwards
from infisical_iac.migrate.find import is_env, is_sample
from infisical_iac.migrate.findings import (
    find_encryption,
    has_secret_name,
    is_bootstrap,
    is_plain,
    safe_name,
)
from infisical_iac.migrate.git import run, tracked_paths
from infisical_iac.migrate.loaders import LoaderDetection
from infisical_iac.migrate.search_terms import why_skipped

_NAMED = r"(?:\$\{[^{}]*\}|\$[A-Z_][A-Z0-9_]*\b)"  # does not match the $2b$ of a hash
_REFERENCE = re.compile(_NAMED)
# The parts of an address that may be references: the login, the host and the port.
_NAMED_LOGIN = re.compile(rf"(?<=://){_NAMED}?(?::{_NAMED})?@")
_NAMED_HOST = re.compile(rf"(?:(?<=://)|(?<=@)){_NAMED}(?=[:/,.]|$)")
_NAMED_DOMAIN = re.compile(rf"(?<=://)([\w.-]+\.){_NAMED}(?=[:/,]|$)")
_NAMED_PORT = re.compile(rf"(?<=[\w.\]]):{_NAMED}(?=[/,]|$)")
_PUBLIC = re.compile(r"(?:.*_)?(?:PUBLIC|PUBLISHABLE)(?:_.*)?", re.IGNORECASE)
# Values of samples that are to be filled in, such as change-me, <the token>, your-api-key-here.
_WORDS = (
    r"change[-_ ]?(?:me|it|this)|replace[-_ ]?(?:me|this)?|placeholder|example|sample|dummy|todo|"
    r"password|passwd|pass|secret|token|key|user|username|none|null|empty|unset|tbd|x{3,}|\*+|\.+"
)
_PLACEHOLDER = re.compile(
    rf"(?:{_WORDS})|<.*>|(?:your|insert|enter|replace)[-_ ].*|.*[-_ ](?:here|placeholder)",
    re.IGNORECASE | re.DOTALL,
)
_CREDENTIALS = re.compile(r"(?<=://)([^\s:@/]*):?([^\s@/]*)@")
_SETTING = re.compile(
    r"true|false|yes|no|on|off|\d{1,6}(?:ms|s|m|h|d)?|https?://[\w.-]+(?::\d+)?/?", re.IGNORECASE
)
_NAME = re.compile(r"[A-Z]?[a-z]{2,}(?:[A-Z][a-z]{2,}){0,4}")


def is_sensitive(key: str, value: str, *, in_sample: bool = False) -> bool:
    """Return whether a value looks like a secret.

    A name that suggests a secret wins over a value that looks harmless. Without such a name, the
    value has to look random, or be an address with a password. Each part of JSON is judged by its
    own name.

    Args:
        in_sample: whether the value is to be filled in, so that `changeme` is not a password.
    """
    if is_bootstrap(key) and key != "INFISICAL_CLIENT_SECRET":
        return False
    if value.lstrip()[:1] in ("{", "["):
        try:
            parts = list(_leaves("", json.loads(value)))
        except (ValueError, RecursionError):
            pass  # it is not JSON
        else:
            return any(is_sensitive(name or key, part, in_sample=in_sample) for name, part in parts)
    bare = _without_references(value).strip()
    if in_sample:
        bare = _CREDENTIALS.sub(_without_placeholders, bare)
        bare = "" if _PLACEHOLDER.fullmatch(bare) else bare
    if not bare or is_plain(key, bare):
        return False
    if has_secret_name(key) and not _PUBLIC.fullmatch(key):
        # PASSWORD_MIN_LENGTH=12 sets something about a secret; DB_PASSWORD=12 is one.
        last = re.split(r"[^A-Za-z0-9]+", key)[-1]
        return has_secret_name(last) or not _SETTING.fullmatch(bare)
    words = re.split(r"[\s!?;,<>()\"']+", bare)
    return any(not (_NAME.fullmatch(word) or why_skipped(word)) for word in words)


def is_placeholder(value: str) -> bool:
    """Return whether a value is a placeholder to be filled in, such as `changeme`."""
    return bool(_PLACEHOLDER.fullmatch(value))


def _without_references(value: str) -> str:
    """Return a value without references, so that an address stays one: `http://localhost`."""
    value = _NAMED_HOST.sub("localhost", _NAMED_LOGIN.sub("", value))
    value = _NAMED_DOMAIN.sub(r"\1example.com", value)
    return _REFERENCE.sub("", _NAMED_PORT.sub("", value))


def _leaves(name: str, data: Any) -> Iterator[tuple[str, str]]:
    """Yield the texts in a JSON object or list, each with its name."""
    if isinstance(data, dict):
        for key, each in data.items():
            yield from _leaves(key, each)
    elif isinstance(data, list):
        for each in data:
            yield from _leaves(name, each)
    elif isinstance(data, str):
        yield name, data


def _without_placeholders(found: re.Match[str]) -> str:
    return "" if not found[2] or _PLACEHOLDER.fullmatch(found[2]) else found[0]


_RULES = (".env", ".env.*")
_NAMES = (".env", ".env.local", ".env.production")
_MOST_NAMES = 10
_RULE = re.compile(r"(.*?):\d*:(.*)\t")  # a line of `git check-ignore -v`
_OWN_EXCLUDES = re.compile(r"(.*/)?\.git/info/exclude")


def in_git(
    root: Path, paths: Sequence[str], homes: Iterable[str], proven: Container[str] = ()
) -> Iterator[CheckFinding]:
    """Yield findings on the `.env` files that git tracks, and on names that it would add.

    The latter are one finding for each repository, as one rule corrects them all. Existing files
    are named first.

    Args:
        homes: the directories of the services; the rules must cover each of them, and the root.
        proven: the paths of files with secrets that are proven to be in Infisical.

    Raises FileError if git fails.
    """
    secret = (path for path in paths if _is_secret(path))
    env_files = [path for path in secret if not _find_encryption(root, path)]
    tracked = tracked_paths(root, env_files)
    for path in sorted(tracked):
        remedy = _UNTRACK if path in proven else UNTRACK
        yield CheckFinding(TRACKED, path, "", f"Git tracks it. {remedy}")
    desired = {posixpath.join(home, name) for home in {"", *homes} for name in _NAMES}
    there = {path for path in env_files if _has_rule(path)}
    by_repository = _group_by_repository(root, desired | (there - tracked))
    is_in_git = any(repository is not None for repository in by_repository)
    for repository, names in by_repository.items():
        if repository is None and is_in_git:
            continue  # the directory is in no repository, so git adds nothing
        if left := sorted(names - ignored_by_git(root, names)):
            what = _list_names(left, there)
            message = f"Git would add {what}. Add {join_names(_RULES)} to this file."
            yield CheckFinding("not-ignored", _rules_of(root, repository), "", message)


def _has_rule(path: str) -> bool:
    return any(fnmatchcase(posixpath.basename(path), rule) for rule in _RULES)


def _list_names(paths: Sequence[str], there: Container[str]) -> str:
    """Return the paths as a list: all existing files, and the first names of new ones."""
    files = [path for path in paths if path in there]
    names = [path for path in paths if path not in there]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    new = ", ".join(names[:_MOST_NAMES]) + more
    if not files:
        return new
    return ", ".join(files) + (f", and new files such as {new}" if new else "")


def _rules_of(root: Path, repository: Path | None) -> str:
    """Return the path of a repository's `.gitignore`, or of the root's if that is further down."""
    top, here = repository, root.resolve()
    if top is None or not top.is_relative_to(here):
        return ".gitignore"
    return (top.relative_to(here) / ".gitignore").as_posix()


def _group_by_repository(root: Path, paths: Iterable[str]) -> dict[Path | None, set[str]]:
    """Return the paths by the top of their nearest repository, which may be above the root."""
    found: dict[Path | None, set[str]] = {}
    top = root.resolve()
    for path in sorted(paths):
        found.setdefault(git.repository_of((top / path).parent), set()).add(path)
    return found


def ignored_by_git(root: Path, paths: Iterable[str]) -> set[str]:
    """Return the paths, existing or not, that the rules of their own repository keep out of git.

    Rules of one person or one machine do not count. For paths in no repository, the `.gitignore`
    at the root decides.
    """
    ignored: set[str] = set()
    for repository, inside in _group_by_repository(root, paths).items():
        if repository is not None:
            ignored |= set(_ignored_in(repository, root.resolve(), sorted(inside)))
        elif not ignores.missing(find.text(root, ".gitignore"), _RULES):
            ignored |= {path for path in inside if _is_secret(path)}
    return ignored


def _ignored_in(repository: Path, root: Path, asked: Sequence[str]) -> Iterator[str]:
    """Yield those of the paths below `root` that a repository's own rules ignore."""
    names = [os.path.relpath(root / path, repository) for path in asked]
    query = ("-c", "core.excludesFile=", "check-ignore", "-v", "-n", "--no-index", "--")
    found = run(repository, *query, *names)
    if found.returncode not in (0, 1):
        raise FileError(f"git can't list what it ignores in {repository}: {found.stderr.strip()}")
    for path, line in zip(asked, found.stdout.split("\n"), strict=False):
        source, rule = decided.groups() if (decided := _RULE.match(line)) else ("", "")
        if rule and not rule.startswith("!") and not _OWN_EXCLUDES.fullmatch(source):
            yield path


def in_images(paths: Sequence[str], text: Text, homes: Iterable[str]) -> Iterator[CheckFinding]:
    """Yield findings on images of services that would contain an `.env` file.

    A `.dockerignore` in a parent directory counts too, because the image may be built from there.

    Args:
        homes: the directories of the services; other images are left out.
    """
    homes = set(homes)
    for path in paths:
        directory, name = posixpath.split(path)
        is_around = any(directory in upwards(home) for home in homes)
        is_inside = not homes.isdisjoint(upwards(directory))
        if not ignores.is_dockerfile(name) or not (is_around or is_inside):
            continue
        above = [posixpath.join(each, ".dockerignore") for each in upwards(directory)]
        own = f"{path}.dockerignore"
        there = [each for each in [own, *above] if each in paths]
        if not any(_covers(text(each), posixpath.dirname(each), homes) for each in there):
            lines = join_names(ignores.for_docker(_RULES))
            message = f"An image built with {path} has .env files in it. Add {lines} to this file."
            yield CheckFinding("not-ignored", there[0] if there else above[0], "", message)


def _covers(text: str, directory: str, homes: Set[str]) -> bool:
    anywhere = ignores.missing(text, ignores.for_docker(_RULES))
    inside = f"{directory}/" if directory else ""
    is_deep = any(home != directory and home.startswith(inside) for home in homes)
    return not anywhere or (not is_deep and not ignores.missing(text, _RULES))


def _is_secret(path: str) -> bool:
    name = posixpath.basename(path)
    return is_env(name) and not is_sample(name)


MIGRATED: Kind = "migrated-file"
TRACKED: Kind = "tracked"
UNTRACK = (
    "Move the secrets in such a file to Infisical, and rotate them. Then `infisical-iac migrate "
    "clean` takes the file out of git's index, as `git rm --cached` does."
)
_UNTRACK = "`infisical-iac migrate clean` deletes it, and takes it out of git's index."
_DELETE = (
    "Its secrets are in Infisical, as `migrate apply` proved. Delete it: `infisical-iac migrate "
    "clean`."
)
_MOVE = "Move such values to Infisical: begin with `infisical-iac migrate scan`."
_CLEAN = "Delete the file: `infisical-iac migrate clean`."
_LEFT_OUT = (
    "The migration skipped such values: store those that the service needs (`infisical-iac secrets "
    "set`), then delete the file: `infisical-iac migrate clean`."
)
_REWRITE = "Leave such values empty, and rotate those that are or were in use."
_EXCLUDE = "Add .env.* to .gitignore."
_IGNORED = (
    "The loaders ignore such values: put secrets into Infisical, and your own overrides below a "
    "line `# overrides` (`infisical-iac docs develop`, Every day)."
)
_OVERRIDE = "On this machine it replaces the value in Infisical."


def findings(
    root: Path,
    paths: Sequence[str],
    text: Text,
    ignored: Set[str],
    proven: Mapping[str, Set[str]],
    find_stored: Callable[[str, str], str],
) -> Iterator[CheckFinding]:
    """Yield findings on values in `.env` files that should only be in Infisical.

    Args:
        ignored: the paths that git ignores. A `.env.local` among them may hold service credentials
            and a developer's own overrides.
        proven: the keys that are proven to be in Infisical, by path. All such keys of a file are
            one finding.
        find_stored: returns the folder in which Infisical has a key of the file at a path, or "".
    """
    detection = LoaderDetection(paths, text)
    for path in paths:
        if is_env(posixpath.basename(path)):
            data, problem = find.content(root, path)
            if problem:
                message = f"{problem} Delete or correct it."
                yield CheckFinding("unreadable-file", path, "", message)
            elif program := find_encryption(posixpath.basename(path), data):
                message = f"It is encrypted by {program}: its values were not checked."
                yield CheckFinding("encrypted-file", path, "", message, is_note=True)
            else:
                grammar = detection.choose(path).evidence.grammar
                found = [*_in_file(path, data, grammar, is_ignored=path in ignored)]
                moved = [each for each in found if each.key in proven.get(path, ())]
                left = (each for each in found if each not in moved)
                if path in proven:
                    left = (_of_skipped(each, find_stored(path, each.key)) for each in left)
                yield from left
                if any(not each.is_note for each in moved):
                    yield CheckFinding(MIGRATED, path, "", _DELETE)


def _of_skipped(found: CheckFinding, folder: str) -> CheckFinding:
    """Return a finding in a migrated file, with the remedy for a secret that its plan skipped.

    Args:
        folder: the folder in which Infisical has the key; "" for none.
    """
    if found.kind != "secret-in-file" or found.cause is None:
        return found
    remedy = f"Infisical has such keys in {folder}. {_CLEAN}" if folder else _LEFT_OUT
    message = found.message.removesuffix(found.cause.remedy) + remedy
    return replace(found, message=message, cause=found.cause._replace(remedy=remedy))


def _find_encryption(root: Path, path: str) -> str:
    return find_encryption(posixpath.basename(path), find.content(root, path)[0])


def is_local(path: str) -> bool:
    """Return whether a path is a developer's own file that the loaders read."""
    return posixpath.basename(path) in (".env.local", find.OWN_FILE)


def _first_override(path: str, data: bytes) -> float:
    """Return the line after which all keys in a developer's own file are overrides."""
    if posixpath.basename(path) == find.OWN_FILE:
        return 0
    marker = find.OVERRIDES.search(data)
    return data.count(b"\n", 0, marker.start()) + 1 if marker else math.inf


def _in_file(path: str, data: bytes, grammar: str, *, is_ignored: bool) -> Iterator[CheckFinding]:
    reading = read(data, grammar)
    if reading.error:
        yield CheckFinding("unreadable-file", path, "", f"{reading.error} Correct it.")
    written = {entry.key: entry.written for entry in reading.entries}
    in_sample, local = is_sample(posixpath.basename(path)), is_local(path) and is_ignored
    what, many, remedy = "a value that looks like a secret", "look like secrets", _MOVE
    if is_local(path):
        what, many = "a value, and git does not ignore the file", "are in a file that git would add"
        remedy = _EXCLUDE
    elif in_sample:
        what, many = "a value that looks real, in a sample", "look real, in a sample"
        remedy = _REWRITE
    cause = Cause(path, f"{{count}} values {many}", remedy)
    ignored = Cause(path, "{count} values are not part of a service's credentials", _IGNORED)
    mine = Cause(path, "{count} values are your own", _OVERRIDE)
    begin = _first_override(path, data)
    for key, value in written.items():
        sensitive = is_sensitive(key, value, in_sample=in_sample)
        place, name = (
            f"{path}:{reading.lines[key]}",
            safe_name(key, value) or "a name without quotes",
        )
        is_override = not key.startswith("INFISICAL_") and reading.lines[key] > begin
        if local and is_override:
            message = f"{name} is your own value. {_OVERRIDE}"
            yield CheckFinding("override", place, name, message, is_note=True, cause=mine)
            continue
        if local and is_bootstrap(key):
            continue
        if is_local(path) and not is_bootstrap(key) and not is_override:
            message = f"{name} is not part of a service's credentials. {_IGNORED}"
            yield CheckFinding("in-env-local", place, name, message, not sensitive, ignored)
        elif sensitive:
            message = f"{name} has {what}. {remedy}"
            yield CheckFinding("secret-in-file", place, name, message, cause=cause)
