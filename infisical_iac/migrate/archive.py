"""Write the archive of the files to be deleted: a tar file, encrypted with age and read back."""

import errno
import io
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pyrage import DecryptError, decrypt, encrypt, x25519

from infisical_iac.backup.kit_keys import Identity, Public
from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError

# A pattern for every archive, and for the unfinished archive of an interrupted run.
PATTERN = ".env-archive-*"
_UNFINISHED = ".part"


def path(directory: Path, at: datetime) -> Path:
    """Return a free path for an archive of this moment, also next to unfinished ones."""
    taken = {each.name.partition(".tar.age")[0] for each in directory.glob(PATTERN)}
    name = f".env-archive-{at:%Y%m%dT%H%M%SZ}"
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    free = next(each for each in (name, *numbered) if each not in taken)
    return directory / f"{free}.tar.age"


def remove_unfinished(directory: Path) -> None:
    """Remove the unfinished archives of interrupted runs; these runs have deleted no file.

    Raises FileError if one can't be removed.
    """
    for part in directory.glob(PATTERN + _UNFINISHED):
        try:
            part.unlink(missing_ok=True)
        except OSError as error:
            raise FileError(
                f"{part}, which an interrupted run left, can't be removed ({error.strerror}): "
                "remove it by hand",
                code="file.unfinished_archive",
            ) from None


def write(
    file: Path,
    contents: Mapping[str, bytes],
    to: Sequence[Public],
    known: Sequence[Identity] = (),
) -> None:
    """Write the archive; when this returns, it is on disk and was read back.

    It is read back with a new key, which is then discarded, and with the keys `known`, if any.

    Args:
        contents: the bytes of each file, by its path in the archive.
        to: the public keys, of age or SSH, that can open it.
        known: private keys of the recipients.

    Raises FileError if it can't be written, exists already, or does not hold `contents`.
    """
    proof = x25519.Identity.generate()
    sealed = encrypt(_tar(contents), [*to, proof.to_public()])
    with atomic.explain_failure(file):
        if file.exists():
            raise FileExistsError(errno.EEXIST, "it exists already")
        with _temporary_file(file.with_name(file.name + _UNFINISHED), sealed) as part:
            for keys in ([proof], *([known] if known else [])):
                _prove(part, contents, keys)
            part.rename(file)
        handle = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(handle)  # so that the new name survives a power cut
        finally:
            os.close(handle)


def _tar(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _untar(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar)
        return {name: file.read() for name, file in files if file is not None}


@contextmanager
def _temporary_file(part: Path, data: bytes) -> Iterator[Path]:
    """Write `data` to a private file on disk; remove it at the end unless it was renamed."""
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        try:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            yield part
        finally:
            part.unlink(missing_ok=True)


def _prove(part: Path, contents: Mapping[str, bytes], keys: Sequence[Identity]) -> None:
    try:
        opened = decrypt(part.read_bytes(), keys)
    except DecryptError:
        raise FileError(
            "the archive can't be opened with the given key, so nothing was deleted: give the "
            "identity of one of its recipients",
            code="file.archive_key",
        ) from None
    if _untar(opened) != contents:
        raise FileError(
            f"{part} does not hold what was written to it: check the disk",
            code="file.archive_differs",
        )
