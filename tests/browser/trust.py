"""Make a home directory for a browser, with the certificate authorities that it trusts.

Chromium on Linux reads them from the NSS database below its user's home directory.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.staging.shell import StagingError, run


@contextmanager
def home(authority: Path | None) -> Iterator[Path]:
    """Yield a home directory for one browser, which trusts the PEM file `authority`, if given.

    Raises StagingError if the file is not a certificate.
    """
    with tempfile.TemporaryDirectory(prefix="browser-") as directory:
        if authority:
            _trust(Path(directory), authority)
        yield Path(directory)


def _trust(directory: Path, authority: Path) -> None:
    if not authority.is_file():
        raise StagingError(f"the authority's certificate {authority} is missing")
    database = directory / ".pki" / "nssdb"
    database.mkdir(parents=True)
    certutil = ("certutil", "-d", f"sql:{database}")
    run(*certutil, "-N", "--empty-password")
    # C: trusted to certify servers; not for mail, not for code.
    run(*certutil, "-A", "-n", "authority", "-t", "C,,", "-i", str(authority))
