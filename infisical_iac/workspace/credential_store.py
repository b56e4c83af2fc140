"""Where the files with the credentials are: on the host, or in a directory of this machine."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infisical_iac.core import atomic
from infisical_iac.core.errors import UserError


class StoreError(UserError):
    """A directory can't be used."""


@dataclass(frozen=True)
class Store:
    """The files, by the names of the credentials such as `backend.production`.

    Attributes:
        place: where they are, for people.
        read: all of them, with their content.
        write: puts one in its place, whole and private.
        remove: takes one away, if it is there.
    """

    place: str
    read: Callable[[], Mapping[str, str]]
    write: Callable[[str, str], None]
    remove: Callable[[str], None]


def directory(where: Path) -> Store:
    """The files in a directory of this machine, which is made if need be.

    Its functions raise StoreError.
    """

    def read() -> Mapping[str, str]:
        with _told(where):
            # What is no text is no credential, and is replaced as such.
            files = sorted(where.glob("*.env"))
            return {each.stem: each.read_text(encoding="utf-8", errors="replace") for each in files}

    def write(name: str, text: str) -> None:
        with _told(where):
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic.write(where / f"{name}.env", text, mode=0o600)

    def remove(name: str) -> None:
        with _told(where):
            (where / f"{name}.env").unlink(missing_ok=True)

    return Store(str(where), read, write, remove)


@contextmanager
def _told(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"the credentials in {where} can't be used: {error.strerror}") from None
