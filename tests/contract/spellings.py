"""Thousands of spellings of a path, and the paths that a server may read each as."""

from __future__ import annotations

import posixpath
import re
from functools import cache
from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN = "/api/status"
# The routes that make accounts.
CLOSED = (
    "/api/v1/admin/bootstrap",
    "/api/v1/admin/signup",
    "/api/v1/signup/email/signup",
    "/api/v3/signup/email/verify",
    "/api/v3/signup/complete-account/signup",
)
# The routes that only some networks reach, if the settings name networks.
LIMITED = ("/api/v1/admin/config", "/api/v1/auth/universal-auth/login", "/api/v4/secrets/KEY")
# Targets that people and services send: names with all characters that `encodeURIComponent` leaves
# or escapes, pages, and queries of any kind.
PLAIN = (
    "/",
    "/login",
    "/api/v4/secrets?projectId=1&secretPath=%2Fa%2F..%2Fb%3Bc&x=;//../%00%25\\",
    "/api/v4/secrets/DATABASE_URL?environment=production",
    "/api/v3/secrets/raw/my.dotted-name_2~!*'()",
    "/api/v4/secrets/a%20name%40home%2B%24%5B0%5D%7B%7D%C3%A9",
    "/api/v2/users/me/someone+else@example.com/groups/",
    "/.well-known/openid-configuration",
    "/assets/index-BxYz_1.js",
    "/organizations/00000000-fake/secret-manager?x=https://secrets.example.com/;y",
    "/scep/1/pkiclient.exe?operation=PKIOperation&message=MII//+=;",
)
_ENDS = (
    *("", ";", ";x=1", "%3b", "%3B", "%253b", "#", "%23", "?", "%3f", "%00", "%0a", "%20", "&"),
    *("%2f", "%5c", "\\", ".", "%2e", ","),
)
# Ends of paths in braces; a Caddy that expands placeholders in a path would remove them.
_EXPANDED = ("/x{;/../..}", "/x{%00}", "/x{//}", "/{http.request.method}", "/x{/../..;/}/y")
_UPS = ("..", "%2e%2e", ".%2E", "%252e%252e", "..;", "..;x", "..%00", "%c0%ae%c0%ae", "..%20")
_SLASHES = ("/", "//", "%2f", "%252F", "\\", "%5c", "/./", "/;/", "/%2e/", "/x/../", "/x;/..;/")


def spellings() -> tuple[str, ...]:
    """Return all spellings, each once."""
    return tuple(dict.fromkeys(_all()))


def _all() -> Iterator[str]:
    for path in (*CLOSED, *LIMITED):
        yield from _of(path)
    yield from (f"{path}{rest}" for path in (*CLOSED, *LIMITED, "") for rest in _EXPANDED)
    for path, end, up, slash in product((CLOSED[0], LIMITED[0]), _ENDS, _UPS, _SLASHES[:7]):
        # The cleaned path is open, but the path before the `..` is not.
        yield f"{path}{end}{slash}{f'{up}{slash}' * path.count('/')}{OPEN[1:]}"
    for path, end, up in product((*CLOSED[1:], *LIMITED[1:]), _ENDS, _UPS):
        yield f"{path}{end}/{f'{up}/' * path.count('/')}{OPEN[1:]}"
        yield f"{OPEN}{end}/{up}/{up}/{up}{path}"


def _of(path: str) -> Iterator[str]:
    """Return spellings of the path itself."""
    yield from (path, path.upper(), path.title(), f"{path}/", f"{path}//", f"{path}?x=1")
    yield from (f"{path}{end}" for end in _ENDS)
    yield from (f"{path}{end}/" for end in _ENDS)
    for slash in _SLASHES:
        yield path.replace("/", slash)
        yield f"/{path[1:].replace('/', slash)}"
        yield slash.join(path.rsplit("/", 1))
    for place, letter in enumerate(path):
        for escaped in (f"%{ord(letter):02x}", f"%25{ord(letter):02X}"):
            yield path[:place] + escaped + path[place + 1 :]


@cache
def readings(target: str) -> frozenset[str]:
    """Return all paths that a server may read a target as, in any number of steps, lower case."""
    found: set[str] = set()
    rest = [target]
    while rest:
        path = rest.pop()
        if path not in found:
            found.add(path)
            rest += _steps(path)
    return frozenset(each.rstrip("/").lower() or "/" for each in found)


def _steps(path: str) -> Iterator[str]:
    yield re.split(r"[?]", path, maxsplit=1)[0]
    yield re.split(r"[;#\0]", path, maxsplit=1)[0]
    yield re.sub(r";[^/]*", "", path)
    yield unquote(path, "latin-1")
    yield path.replace("\\", "/")
    yield re.sub(r"//+", "/", path)
    yield re.sub(r"^https?://[^/]*", "", path)
    yield path.rstrip(" \0\n.")
    if "/." in path:
        yield posixpath.normpath(path.partition("?")[0])


def leads_to(target: str, paths: tuple[str, ...]) -> bool:
    """Return whether a server may read a target as one of the paths, or as one below it."""
    return any(
        reading == path or reading.startswith(f"{path}/")
        for reading in readings(target)
        for path in (each.lower() for each in paths)
    )
