"""Put the files of a recovery kit on the host, and keep those that a restore replaces.

The files of a kit come by standard input, before the restore begins, and wait in a folder that only
root can read. The replaced files are kept in `aside/<stamp>` of the restore's directory:

    files    the old files, by their paths below /etc/infisical
    new      the paths that did not exist, a line each
"""

import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infisical_iac.agent.files import copy, remove, write
from infisical_iac.agent.keys import ROOT, form_of, has_form
from infisical_iac.agent.runner import Failure, Runner

DIRECTORY = "/var/lib/infisical-restore"
_KIT = f"{DIRECTORY}/kit"


def stage(runner: Runner, files: Mapping[str, str]) -> None:
    """Store files of a kit, by their paths below /etc/infisical, until a restore puts them.

    Raises RuntimeError with a Failure, with nothing stored, for a file that no kit can have.
    """
    discard(runner)
    for path, text in files.items():
        _refuse_foreign(path)
        if not has_form(path, text):
            raise _refuse(
                f"the content for {path} does not have the form of such a file: nothing was written"
            )
    for path, text in files.items():
        write(runner.path(f"{_KIT}/{path}"), text.encode())


def discard(runner: Runner) -> None:
    """Remove the stored files of a kit."""
    shutil.rmtree(runner.path(_KIT), ignore_errors=True)


def _refuse(message: str) -> RuntimeError:
    return RuntimeError(Failure("command", message))


def _refuse_foreign(path: str) -> None:
    if form_of(path) is None:
        raise _refuse(f"no recovery kit has a file {path}: nothing was changed")


def put(runner: Runner, paths: Iterable[str]) -> None:
    """Put stored files in their places. A repeated call does the same."""
    for path in paths:
        _refuse_foreign(path)
        staged = runner.path(f"{_KIT}/{path}")
        if not staged.is_file():
            raise _refuse(f"the file {path} of the kit has not reached the host: run again")
        write(runner.path(f"{ROOT}/{path}"), staged.read_bytes())


@dataclass(frozen=True)
class ReplacedFiles:
    """The files of /etc/infisical that a restore has replaced, which began at `stamp`."""

    runner: Runner
    stamp: str

    @property
    def folder(self) -> str:
        """Return the folder on the host."""
        return f"{DIRECTORY}/aside/{self.stamp}"

    def _path(self, name: str) -> Path:
        return self.runner.path(f"{self.folder}/{name}")

    def _list_new(self) -> list[str]:
        return (self.runner.text(f"{self.folder}/new") or "").splitlines()

    def keep(self, path: str) -> None:
        """Keep the file at a path below /etc/infisical, or note that there is none; only once."""
        kept, there = self._path(f"files/{path}"), self.runner.path(f"{ROOT}/{path}")
        if kept.exists() or path in self._list_new():
            return
        if there.exists():
            copy(there, kept)
        else:
            lines = [*self._list_new(), path]
            write(self._path("new"), "".join(f"{each}\n" for each in lines).encode())

    def bring_back(self) -> None:
        """Bring the old files back, and remove those that did not exist."""
        for path in self._list_kept():
            copy(self._path(f"files/{path}"), self.runner.path(f"{ROOT}/{path}"))
        for path in self._list_new():
            remove(self.runner.path(f"{ROOT}/{path}"))

    def _list_kept(self) -> list[str]:
        """Return the paths of the kept files. Raises OSError if a folder can't be read."""
        top = self._path("files")
        found: list[str] = []
        folders = [top] if top.is_dir() else []
        while folders:
            for each in sorted(folders.pop().iterdir()):
                if each.is_dir():
                    folders.append(each)
                elif not each.name.startswith(".") and each.suffix != ".keeping":
                    found.append(str(each.relative_to(top)))
        return found

    def forget(self) -> None:
        """Remove the kept files."""
        shutil.rmtree(self.runner.path(self.folder), ignore_errors=True)

    def forget_if_empty(self) -> None:
        """Remove the folder if no file was replaced."""
        with suppress(OSError):
            if not self._list_kept():
                self.forget()
