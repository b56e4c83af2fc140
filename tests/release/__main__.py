"""`python -m tests.release`: build the files of a release from the last commit.

Two builds of one commit are equal byte for byte: they are made from the files of the commit, with
its time. Changes that are not committed are not built.
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.release import bills, locks

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKSUMS = "SHA256SUMS"
_SECONDS = 300


def main() -> None:
    """Build into a directory, and print its checksums."""
    parser = argparse.ArgumentParser(prog="python -m tests.release", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("dist"))
    parser.add_argument("--commit", default="HEAD")
    parser.add_argument("--repository", help="address of the repository that npm is to name")
    given = parser.parse_args()
    if changed := _git("status", "--porcelain").decode().splitlines():
        print(f"Note: {len(changed)} changed files are not committed, and not built")
    build(given.output, given.commit, given.repository)
    print((given.output / CHECKSUMS).read_text(), end="")


def build(output: Path, commit: str = "HEAD", repository: str | None = None) -> None:
    """Build the packages, bills and checksums of a commit into an empty directory.

    Args:
        repository: the address that the package for npm names, such as `https://host/owner/name`.
            npm publishes with provenance only if it is the repository of the build.

    Exits with a sentence if the directory has other files, or a program fails.
    """
    output.mkdir(parents=True, exist_ok=True)
    _clear(output)
    epoch = int(_git("log", "-1", "--format=%ct", commit))
    with tempfile.TemporaryDirectory() as made:
        source = Path(made)
        with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit))) as archive:
            archive.extractall(source, filter="data")
        _complete_loaders(source, repository)
        _build_packages(source, output.resolve(), epoch)
        for name, text in _bills(source, epoch):
            (output / name).write_text(text)
    lines = [f"{_sha256(each)}  {each.name}\n" for each in sorted(output.iterdir())]
    (output / CHECKSUMS).write_text("".join(lines))


def _clear(output: Path) -> None:
    """Delete the files of an earlier build, which its checksums name."""
    checksums = output / CHECKSUMS
    lines = checksums.read_text().splitlines() if checksums.is_file() else []
    for each in [*(line.split()[1] for line in lines), CHECKSUMS]:
        (output / each).unlink(missing_ok=True)
    if others := sorted(each.name for each in output.iterdir()):
        sys.exit(f"{output} has files of something else ({', '.join(others)}): give another one")


def _complete_loaders(source: Path, repository: str | None) -> None:
    """Give each loader the license, and the package for npm its repository."""
    node = source / "loaders" / "node"
    for each in (node, source / "loaders" / "python"):
        shutil.copy(source / "LICENSE", each)
    if repository:
        manifest = node / "package.json"
        place = {"type": "git", "url": f"git+{repository}.git", "directory": "loaders/node"}
        named = {**json.loads(manifest.read_text()), "repository": place}
        manifest.write_text(json.dumps(named, indent=2) + "\n")


def _build_packages(source: Path, output: Path, epoch: int) -> None:
    hatch = [sys.executable, "-m", "hatchling", "build", "--directory", str(output), "--target"]
    python, node = source / "loaders" / "python", source / "loaders" / "node"
    _run([*hatch, "sdist", "--target", "wheel"], source, epoch)
    _run([*hatch, "wheel"], python, epoch)
    pack = ["npm", "pack", "--ignore-scripts", "--offline", "--silent"]
    _run([*pack, "--pack-destination", str(output)], node, epoch)


def _bills(source: Path, epoch: int) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each bill."""
    python, node = source / "loaders" / "python", source / "loaders" / "node"
    for folder, lock, kind in (
        (source, "requirements.lock", "tool"),
        (python, "requirements-dev.lock", "python"),
    ):
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        packages = locks.read_requirements((source / lock).read_text())
        roots = sorted(map(_requirement_name, project["dependencies"]))
        yield _bill(kind, "pypi", project, roots, packages, epoch)
    project = json.loads((node / "package.json").read_text())
    packages = locks.read_package_lock((node / "package-lock.json").read_text())
    roots = [f"node_modules/{name}" for name in sorted(project.get("dependencies", {}))]
    yield _bill("node", "npm", project, roots, packages, epoch)


def _bill(
    label: str,
    kind: str,
    project: dict[str, Any],
    roots: list[str],
    packages: dict[str, locks.Locked],
    epoch: int,
) -> tuple[str, str]:
    name, version = project["name"], project["version"]
    text = bills.write_bill(
        kind=kind,
        name=name,
        version=version,
        license_id=project["license"],
        roots=roots,
        packages=locks.list_needed(packages, roots),
        epoch=epoch,
    )
    suffix = "" if label == "tool" else f"-{label}"
    return f"{name}-{version}{suffix}.cdx.json", text


def _requirement_name(requirement: str) -> str:
    """Return the normalized name of a requirement, such as `httpx` of `httpx~=0.28`."""
    name = requirement.split("[")[0].split("~")[0].split(">")[0].split("=")[0].strip()
    return name.lower().replace("_", "-")


def _run(command: list[str], directory: Path, epoch: int) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except FileNotFoundError:
        sys.exit(f"there is no program {command[0]}: install it with `python -m tests.tools`")
    if done.returncode:
        sys.exit(f"`{' '.join(command[:4])}` in {directory} failed: {done.stderr.strip()}")


def _git(*arguments: str) -> bytes:
    # The checkout may belong to another user, as in a container.
    command = ["git", "-c", f"safe.directory={REPOSITORY}", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
