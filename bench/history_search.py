"""Time the search of a git history: `python -m bench.history_search` prints MB/s.

The repository has the sources of Python's standard library, each file in several versions, packed
by git. Most values are long and random, some are short, some are addresses of databases.
"""

import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.bars import SLOWEST_SEARCH
from bench.measuring import BenchError, run, say
from infisical_iac.migrate.history import search
from infisical_iac.migrate.search_terms import SearchTerms

_VERSIONS = 8
_VALUES = 200


def main() -> int:
    """Measure and print; return 0 if the search keeps its limit."""
    speed, sentence = measure()
    print(f"{sentence} {speed:.0f} MB/s (at least {SLOWEST_SEARCH})")
    return 0 if speed >= SLOWEST_SEARCH else 1


def measure() -> tuple[float, str]:
    """Return MB/s, and a sentence on what was searched.

    Raises BenchError if the leaked value isn't found.
    """
    values = _values(random.Random(1))
    with tempfile.TemporaryDirectory() as directory:
        repository = Path(directory)
        say("Writing a repository")
        _make(repository, next(iter(values.values())))
        say("Searching it")
        begin = time.perf_counter()
        searched = search(repository, SearchTerms(values))
        seconds = time.perf_counter() - begin
    if len(searched.hits) != 1:
        raise BenchError(f"the search found {len(searched.hits)} values instead of one")
    size = searched.size / 1e6
    sentence = (
        f"{len(values)} values in {searched.objects:,} objects of {size:,.0f} MB, {_VERSIONS} "
        f"versions of the files of Python's own library: {seconds:.1f} s."
    )
    return size / seconds, sentence


def _values(rng: random.Random) -> dict[str, str]:
    def token(length: int) -> str:
        return f"fake{rng.randbytes(length).hex()}"

    makers = (
        lambda: token(20),
        lambda: token(16).upper(),
        lambda: f"postgresql://app:{token(8)}@db.internal:5432/app?sslmode=require",
        lambda: token(4),
    )
    return {f"KEY_{number}": makers[number % len(makers)]() for number in range(_VALUES)}


def _make(repository: Path, leaked: str) -> None:
    run(("git", "init", "--quiet", "--bare", repository))
    command = ("git", "-C", repository, "fast-import", "--quiet")
    with subprocess.Popen(command, stdin=subprocess.PIPE) as importer:
        assert importer.stdin is not None
        for part in _commits(leaked):
            importer.stdin.write(part)
    if importer.returncode:
        raise SystemExit("git fast-import failed")


def _commits(leaked: str) -> Iterator[bytes]:
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(each for each in library.rglob("*.py") if "-packages" not in str(each))
    for version in range(_VERSIONS):
        yield b"commit refs/heads/main\ncommitter a <a@example.com> %d +0000\n" % (1e9 + version)
        yield b"data 1\nx\n"
        for file in files:
            content = file.read_bytes() + b"\n# version %d\n" % version
            yield _file(str(file.relative_to(library)), content)
        if version == 1:
            yield _file("backend/.env", f"KEY_0={leaked}\n".encode())
        if version == 2:
            yield b"D backend/.env\n"


def _file(path: str, content: bytes) -> bytes:
    return b"M 644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content)


if __name__ == "__main__":
    sys.exit(main())
