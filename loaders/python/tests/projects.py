"""A service that has a project of its own and imports folders of others, and their server."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.scripted import Script, Seen

LONGEST_WAIT = 20.0


class Place(NamedTuple):
    """A folder in a project."""

    project: str
    folder: str


OWN = Place("own-example", "/backend")
SHARED = Place("shared-example", "/shared")


class Lists:
    """The script of a server: each folder's answers in turn; the last one is repeated.

    An answer that is `together` comes once every folder is requested.

    Attributes:
        counts: the requests so far, by folder.
    """

    def __init__(
        self, answers: Mapping[Place, Sequence[Script] | Callable[[Seen], Script]]
    ) -> None:
        self.answers = dict(answers)
        self.counts = dict.fromkeys(answers, 0)
        self._all_requested = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, seen: Seen) -> Script:
        query = parse_qs(urlsplit(seen.path).query)
        (project,) = query.get("projectId") or query["workspaceId"]
        place = Place(project, query["secretPath"][0])
        answers = self.answers[place]
        with self._lock:
            turn = self.counts[place]
            self.counts[place] += 1
            if all(self.counts.values()):
                self._all_requested.set()
        if callable(answers):
            return answers(seen)
        answer = answers[min(turn, len(answers) - 1)]
        if answer.get("together"):
            self._all_requested.wait(LONGEST_WAIT)
        return answer


def directory(path: Path, address: str, places: Sequence[Place] = (OWN, SHARED)) -> Path:
    """Make the directory of a service with its own place and those that it imports."""
    own, *others = places
    imports = [{"workspaceId": project, "secretPath": folder} for project, folder in others]
    settings: dict[str, Any] = {
        "domain": address,
        "defaultSecretPath": own.folder,
        "projects": {"production": {"workspaceId": own.project, "imports": imports}},
    }
    path.mkdir(parents=True, exist_ok=True)
    (path / ".infisical.json").write_text(json.dumps(settings))
    return path
