"""The forms in which a value may be written somewhere else."""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from urllib.parse import quote

# What encoders leave as it is, beside letters, digits and `_.-~`: by the strictest rule, in a
# path, as in JavaScript's encodeURIComponent and encodeURI.
_UNQUOTED = ("", "/", "!*'()", "!*'();/?:@&=+$,#")
_PERCENT = re.compile("%[0-9A-F]{2}")
_UNICODE = re.compile(r"\\u[0-9a-f]{4}")
_HTML = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})


def written_forms(value: str) -> dict[bytes, str]:
    """Return what to look for to find a value in any of its forms, and what each form is called.

    White space around the value is left out of it, so that it is found with and without. A
    value of several lines is looked for with both line ends, in each form. A sequence of bytes
    that belongs to several forms has the name of the simplest.
    """
    text = value.strip()
    lines = text.replace("\r\n", "\n")
    found: dict[bytes, str] = {}
    for each in dict.fromkeys((text, lines, lines.replace("\n", "\r\n"))):
        found.setdefault(_bytes(each), "as it is" if each == text else "with other line ends")
    for written, name in _encoded(list(found)):
        found.setdefault(written, name)
    return found


def _bytes(text: str) -> bytes:
    # JavaScript knows strings that have no UTF-8.
    return text.encode("utf-8", "surrogatepass")


def _encoded(texts: list[bytes]) -> Iterator[tuple[bytes, str]]:
    for data in texts:
        text = data.decode("utf-8", "surrogatepass")
        for json_string in _json_escaped(text):
            yield _bytes(json_string), "JSON-escaped"
        for url in _url_encoded(data):
            yield url.encode(), "URL-encoded"
        for encode in (b64encode, urlsafe_b64encode):
            for part in _base64(data, encode):
                yield part, "base64"


def _json_escaped(text: str) -> Iterator[str]:
    for ascii_only in (False, True):
        plain = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        for slashes in (plain, plain.replace("/", r"\/")):
            for written in (slashes, slashes.translate(_HTML)):
                yield written
                yield _UNICODE.sub(lambda match: r"\u" + match[0][2:].upper(), written)


def _url_encoded(data: bytes) -> Iterator[str]:
    for safe in _UNQUOTED:
        written = quote(data, safe=safe)
        for spaces in (written, written.replace("%20", "+")):
            yield spaces
            yield _PERCENT.sub(lambda match: match[0].lower(), spaces)


def _base64(data: bytes, encode: Callable[[bytes], bytes]) -> Iterator[bytes]:
    # A sign stands for six bits, three bytes are four signs: in a longer text, the value begins
    # at one of three places. LoaderDetection that depend on what is before or after are left out.
    for before in range(3):
        first = -(-before * 8 // 6)
        end = (before + len(data)) * 8 // 6
        yield encode(bytes(before) + data)[first:end]
