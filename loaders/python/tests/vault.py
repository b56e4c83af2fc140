"""A list of secrets that changes, with an ETag, as the real server answers."""

import hashlib

from tests.scripted import Script, Seen, listing


class Vault:
    """The script of a server whose secrets change.

    Attributes:
        values: the secrets now.
        broken: the first answers, each given once.
        statuses: the statuses of the answers so far.
    """

    def __init__(self, **values: str) -> None:
        self.values = values
        self.broken: list[Script] = []
        self.statuses: list[int] = []

    def __call__(self, seen: Seen) -> Script:
        script = self.broken.pop(0) if self.broken else self._answer(seen)
        self.statuses.append(script.get("status", 0))
        return script

    def _answer(self, seen: Seen) -> Script:
        etag = '"' + hashlib.sha256(repr(self.values).encode()).hexdigest() + '"'
        if seen.headers.get("if-none-match") == etag:
            return {"status": 304, "headers": {"etag": etag}, "text": ""}
        return {**listing(**self.values), "headers": {"etag": etag}}
