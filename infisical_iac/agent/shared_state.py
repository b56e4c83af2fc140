"""Share the state of a cluster's hosts: the files in /etc/infisical that all of them have."""

import base64
import shutil
import stat
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath

from infisical_iac.agent import files
from infisical_iac.agent.runner import Failure, Runner, action, observation

ROOT = "/etc/infisical"
# The files in /etc/infisical that all hosts of a cluster share. A host's own configuration is not
# among them.
_SHARED_FOLDERS = ("keys/*", "credentials/*.env", "backup/*.env", "stack/*", "tls/*")
_SHARED_FILES = (
    *(".env", "admin.env", "deployer.env", "canary.env", "workspace.json", "recovery-kit.json"),
    *("stack.yaml", "stack.json", "backup/ssh_key", "backup/ssh_key.pub"),
)
_UNSHARED_SUFFIXES = (".new", ".next", ".old")


def is_shared(path: str) -> bool:
    """Return whether a path in /etc/infisical is one of the files that the hosts share."""
    found = PurePosixPath(path)
    if path.endswith(_UNSHARED_SUFFIXES) or len(found.parts) > 2 or str(found) != path:
        return False
    if ".." in found.parts:
        return False
    return path in _SHARED_FILES or any(
        len(found.parts) == 2 and found.match(each) for each in _SHARED_FOLDERS
    )


def list_shared(runner: Runner) -> list[str]:
    """Return the paths in /etc/infisical of the shared files that exist."""
    root = runner.path(ROOT)
    files = [root / ".env", *root.glob("[!.]*"), *root.glob("[!.]*/[!.]*")]
    paths = (str(each.relative_to(root)) for each in files if each.is_file())
    return sorted(filter(is_shared, paths))


def digest(runner: Runner) -> str:
    """Return a digest that two hosts with the same files have in common; empty without any file."""
    root = runner.path(ROOT)
    lines = [
        f"{sha256((root / each).read_bytes()).hexdigest()}  {each}\n"
        for each in list_shared(runner)
    ]
    return sha256("".join(lines).encode()).hexdigest()[:16] if lines else ""


# A file as its mode and its content in base64, as JSON has it.
SharedFile = tuple[int, str]
_WORK = "/var/lib/infisical-share"
_KEPT_SERIALS = 5


@observation
def give(runner: Runner) -> dict[str, SharedFile]:
    """Return the shared files by their path in /etc/infisical. They are secret."""
    root = runner.path(ROOT)
    return {each: _pack(root / each) for each in list_shared(runner)}


def _pack(file: Path) -> SharedFile:
    mode = stat.S_IMODE(file.stat().st_mode)
    return mode, base64.b64encode(file.read_bytes()).decode()


@action
def take(runner: Runner, *, shared: Mapping[str, SharedFile], serial: int) -> None:
    """Replace this host's shared files by those of another host, and note their serial.

    Replaced and removed files are kept in /var/lib/infisical-share/before/<serial>, for the last
    five serials that replaced any. Secrets that the user gave are not kept.

    Raises RuntimeError with a Failure, with nothing changed, if a file is none of the shared ones:
    another host must not write configuration that runs here.
    """
    if refused := [each for each in shared if not is_shared(each)]:
        raise RuntimeError(
            Failure(
                "command.not_shared",
                f"another host sent {refused[0]}, which is not part of the shared state, and "
                "nothing was copied",
                "check who has changed that host",
            )
        )
    new = {
        each: (mode, base64.b64decode(text, validate=True)) for each, (mode, text) in shared.items()
    }
    root, before = runner.path(ROOT), runner.path(f"{_WORK}/before/{serial}")
    # Older versions of this project left keys in clear text here if they were killed.
    shutil.rmtree(runner.path(f"{_WORK}/new"), ignore_errors=True)
    # The host has no serial until all files are in place.
    for name in ("serial", "led"):
        files.remove(root / name)
    for path, (mode, content) in new.items():
        file = root / path
        if file.is_file() and file.read_bytes() == content:
            continue
        _keep(file, before, path)
        _make_private(file.parent)
        files.write(file, content, mode=mode)
    for path in list_shared(runner):
        if path not in new:
            _keep(root / path, before, path)
            files.remove(root / path)
    _forget_older(runner)
    files.write(root / "serial", f"{serial}\n".encode())


def _keep(file: Path, before: Path, path: str) -> None:
    """Copy a file that is to be replaced.

    Secrets that the user gave are not copied: the user has them, and .env contains them too.
    """
    if path == ".env" or path.startswith("keys/given_") or not file.is_file():
        return
    copy = before / path
    _make_private(copy.parent)
    if copy.exists():
        # From an interrupted copy of this serial, or from another cluster.
        number = 1
        while (numbered := copy.with_name(f"{copy.name}.~{number}~")).exists():
            number += 1
        copy.rename(numbered)
    files.write(copy, file.read_bytes(), mode=stat.S_IMODE(file.stat().st_mode))


def _make_private(folder: Path) -> None:
    """Create a folder, and those above it that are missing, for root only."""
    if not folder.is_dir():
        _make_private(folder.parent)
        files.make_folder(folder)


def _forget_older(runner: Runner) -> None:
    found = [each for each in runner.path(f"{_WORK}/before").glob("*") if each.name.isdecimal()]
    for each in sorted(found, key=lambda folder: int(folder.name))[:-_KEPT_SERIALS]:
        shutil.rmtree(each)


@action
def lead(runner: Runner, *, serial: int) -> None:
    """Note that this host leads, with this serial."""
    for name in ("serial", "led"):
        files.write(runner.path(f"{ROOT}/{name}"), f"{serial}\n".encode())
