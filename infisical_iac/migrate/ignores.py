"""Complete the rules that keep `.env` files out of git and out of images."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from infisical_iac.core.errors import FileError
from infisical_iac.migrate import archive, git
from infisical_iac.migrate.find import SAMPLES, is_sample

_COMMENT = "# .env files: their values are in Infisical"
_HIDDEN = (".env", ".env.*", archive.PATTERN)
_SHOWN = tuple(f"!.env*.{word}" for word in sorted(SAMPLES))
_DOCKERFILE = re.compile(r"^(Docker|Container)file|\.(D|d)ockerfile$")
_DOCKERIGNORE = ".dockerignore"
_ANYWHERE = "**/"  # in a .dockerignore, a bare name is a file at the top


@dataclass(frozen=True)
class Addition:
    """The lines that an ignore file lacks; the file itself may be missing."""

    file: Path
    lines: Sequence[str]


def rules(names: Iterable[str]) -> list[str]:
    """Return the rules of a `.gitignore` for files of these names, the exceptions last."""
    others = sorted({name for name in names if not any(fnmatchcase(name, r) for r in _HIDDEN)})
    return [*_HIDDEN, *(re.sub(r"([*?\[\]\\])", r"\\\1", name) for name in others), *_SHOWN]


def for_docker(lines: Iterable[str]) -> list[str]:
    """Return the rules in the form of a `.dockerignore`."""
    return [re.sub(r"^(!?)", rf"\1{_ANYWHERE}", line, count=1) for line in lines]


def missing(text: str, rules: Sequence[str]) -> list[str]:
    """Return the rules among `rules` that an ignore file does not enforce.

    The last rule that matches a file counts. So a rule above an exception that may be stronger,
    such as `!src` below `*`, is treated as missing, and exceptions follow the rules that are added.
    """
    holding: list[str] = []
    for line in map(str.strip, text.splitlines()):
        is_exception = line.startswith("!") and not is_sample(line[1:].rpartition("/")[2])
        if is_exception and line not in rules:
            holding.clear()
        else:
            holding.append(line)
    hiding = [line for line in holding if line and not line.startswith(("!", "#"))]
    hidden = [
        rule
        for rule in rules
        if not rule.startswith("!")
        and not any(line == rule or fnmatchcase(rule, line) for line in hiding)
    ]
    shown = [rule for rule in rules if rule.startswith("!") and (hidden or rule not in holding)]
    return hidden + shown


def tail(text: str, lines: Iterable[str]) -> str:
    """Return the text to append to an ignore file: the lines below a comment.

    Its line ends are those of the file.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    closing = end if text and not text.endswith("\n") else ""
    gap = end if text else ""
    return closing + gap + "".join(f"{line}{end}" for line in (_COMMENT, *lines))


def plan(root: Path, paths: Sequence[str]) -> list[Addition]:
    """Return the lines that the ignore files around the files at `paths` lack; change nothing.

    Rules go to the top of a working tree, or to the root if that is within the tree. For images
    they also go to each directory with a Dockerfile or a `.dockerignore` between there and a file.
    A root that only contains repositories gets none.

    Raises FileError for a file that can't be read, and if git fails.
    """
    tops = {path: _top(root, (root / path).parent) for path in paths}
    is_around = git.top(root) is None and any(tops.values())
    homes: dict[Path, list[Path]] = {} if is_around else {root: []}
    for path, top in tops.items():
        file = root / path
        home = top or root
        if home == root and is_around:
            home = _existing(file.parent)  # the file is in no repository, but others are
        homes.setdefault(home, []).append(file)
    additions = []
    for home, files in homes.items():
        desired = rules(file.name for file in files)
        additions.append(_addition(home / ".gitignore", desired))
        for file in _docker_files(home, files):
            additions.append(_addition(file, for_docker(desired)))
    return [each for each in additions if each.lines]


def _top(root: Path, directory: Path) -> Path | None:
    """Return the top of the working tree that a directory is in, if it is the root or below it."""
    top = git.top(_existing(directory))
    return top if top is not None and top.is_relative_to(root) else None


def _existing(directory: Path) -> Path:
    """Return the directory, or the nearest existing one above: it may be deleted with its file."""
    while not directory.is_dir():
        directory = directory.parent
    return directory


def _docker_files(home: Path, files: Iterable[Path]) -> list[Path]:
    """Return the ignore file that Docker reads for each Dockerfile: its own, or the common one."""
    found = {home / _DOCKERIGNORE}
    for directory in {parent for file in files for parent in file.parents}:
        for entry in directory.glob("*") if directory.is_relative_to(home) else ():
            if entry.name.endswith(_DOCKERIGNORE):
                found.add(entry)
            elif is_dockerfile(entry.name):
                found.add(directory / _DOCKERIGNORE)
    return sorted(found)


def is_dockerfile(name: str) -> bool:
    """Return whether a file of this name is a Dockerfile."""
    return not name.endswith(_DOCKERIGNORE) and bool(_DOCKERFILE.search(name))


def _addition(file: Path, rules: Sequence[str]) -> Addition:
    if file.is_symlink():
        raise FileError(f"{file} is a symbolic link, which git does not read: make it a file")
    return Addition(file, missing(_text(file), rules))


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise FileError(f"{file} can't be read ({error.strerror}): see who owns it") from None


def write(addition: Addition) -> None:
    """Append the lines to the file; create it if it is missing.

    Raises FileError if it can't be written.
    """
    text = tail(_text(addition.file), addition.lines)
    try:
        with addition.file.open("ab") as stream:
            stream.write(text.encode())
    except OSError as error:
        raise FileError(
            f"{addition.file} can't be written ({error.strerror}): see who owns it"
        ) from None
