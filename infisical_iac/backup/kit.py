"""The content of a recovery kit: its files, their forms, and its serialization."""

import gzip
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infisical_iac.backup import signing
from infisical_iac.core.errors import FileError
from infisical_iac.core.rendering import script_file

# No line of such a file has control characters: a terminal or a shell may obey them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@cache
def _forms() -> tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]:
    text = script_file("forms")
    table = re.search(r"(?ms) <<'FORMS'\n(.*?)^FORMS$", text)
    login = re.search(r'(?m)^target_login="([^"]*)"$', text)
    assert table
    assert login
    lines = table[1].replace("TARGET_LOGIN", "|".join(login[1].split())).splitlines()
    rows = (line.partition(" ") for line in lines)
    return tuple((re.compile(path), re.compile(form)) for path, _, form in rows)


def check_forms(files: Mapping[str, str], *, where: str) -> None:
    """Check that each text, by path under /etc/infisical, has the form of such a file in a kit.

    Raises FileError for other paths and forms. The error begins with `where` and names the path,
    but holds nothing of the text.
    """
    for path, text in files.items():
        form = next((form for pattern, form in _forms() if pattern.fullmatch(path)), None)
        if form is None:
            raise FileError(
                f"{where} has a file {path[:80]!a}, which does not belong in a recovery kit",
                code="file.foreign_in_kit",
            )
        if not _has(form, text):
            raise FileError(
                f"{where} has a file {path} that is not what `infisical-iac` writes there: the "
                "form of its text differs",
                code="file.malformed_in_kit",
            )


def _has(form: re.Pattern[str], text: str) -> bool:
    # A lone surrogate can't be written.
    if _CONTROL.search(text) or any("\ud800" <= sign <= "\udfff" for sign in text):
        return False
    return bool(form.fullmatch(f"{text.removesuffix(chr(10))}\n"))


FORMAT = 2
# The earlier format, which has no signature.
_UNSIGNED = 1
# A kit for a hundred services takes less than a twentieth of it.
_MOST_BYTES = 1 << 21
# Without these nothing can be restored.
ESSENTIAL = ("keys/encryption_key", "keys/restic_password", "admin.env")


class Versions(BaseModel):
    """The versions that ran on the host; empty where they could not be read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    infisical: str
    postgres: str
    redis: str
    infisical_id: str = ""
    migrations: int = 0
    revision: str = ""


class Kit(BaseModel):
    """A kit; the package's docstring describes each field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kit: int = FORMAT
    at: str
    by: str
    host: str
    site_url: str
    versions: Versions
    backup_targets: tuple[Mapping[str, Any], ...]
    workspace: str
    recipients: tuple[str, ...]
    files: Mapping[str, str] = Field(repr=False)


@dataclass(frozen=True)
class Opened:
    """A kit that was opened, and the fingerprint of the key that signed it.

    A kit in the earlier format has no signature, and an empty `signer`.
    """

    kit: Kit
    signer: str


def check(kit: Kit) -> None:
    """Check that a restore can use the kit.

    Raises a UserError if an essential file is missing, or a file has another form than it must.
    """
    missing = [path for path in ESSENTIAL if not kit.files.get(path, "").strip()]
    if missing:
        raise FileError(
            f"there is no /etc/infisical/{missing[0]} on the host, and a kit is useless without "
            "it: let `infisical-iac apply` end first",
            code="file.missing_in_kit",
        )
    check_forms(kit.files, where="/etc/infisical")


def pack(kit: Kit, key: Ed25519PrivateKey) -> bytes:
    """Return the kit as bytes, signed by `key`."""
    signed = signing.sign(kit.model_dump(mode="json"), key)
    text = json.dumps(signed, indent=1, ensure_ascii=False)
    return gzip.compress(f"{text}\n".encode(), mtime=0)


def unpack(data: bytes) -> Opened:
    """Return the kit in `data`, with its signature and its files checked.

    Raises a UserError that holds nothing of its content.
    """
    found = _found(data)
    version = found["kit"]
    if version == FORMAT:
        content, signer = signing.verify(found)
    elif version == _UNSIGNED:
        content, signer = found, ""
    else:
        raise FileError(
            f"the kit has format {str(version)[:20]!a}, and this version of infisical-iac reads "
            f"{FORMAT}: use the one that made it, revision {_revision(found)}",
            code="file.kit_format",
        )
    try:
        kit = Kit.model_validate(content)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_input=False)[0]["loc"]))
        raise FileError(
            f"the kit is not complete: {ascii(place)[1:-1][:80]} is missing or unusable",
            code="file.incomplete_kit",
        ) from None
    check_forms(kit.files, where="the kit")
    return Opened(kit, signer)


def _found(data: bytes) -> dict[str, Any]:
    decompressing = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        text = decompressing.decompress(data, _MOST_BYTES)
        found = json.loads(text) if decompressing.eof else None
        if isinstance(found, dict) and type(found["kit"]) is int:
            return found
    except (zlib.error, ValueError, KeyError, RecursionError):
        pass
    raise FileError("the file does not hold a recovery kit: give another one", code="file.no_kit")


def _revision(found: Mapping[str, Any]) -> str:
    versions = found.get("versions")
    revision = str(versions.get("revision")) if isinstance(versions, dict) else ""
    return revision if re.fullmatch(r"[A-Za-z0-9+.-]{1,60}", revision) else "unknown"
