"""Random workspaces, with the names that `tests.unit.drifts` uses."""

from typing import Any

import yaml
from hypothesis import strategies as st

_ENVIRONMENTS = ["staging", "development", "production", "preview"]
_SERVICES = ["backend", "python-service", "worker", "mailer"]
_FOLDERS = ["/backend", "/backend/inner", "/services/python", "/a/b/c", "/mailer"]
_SHARED = ["/shared", "/shared/databases", "/services/common"]
_TTLS = st.sampled_from([600, 1800])


def _some(words: list[str], *, least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), unique=True, min_size=least, max_size=4)


@st.composite
def _service(draw: st.DrawFn, folder: str, shared: list[str]) -> dict[str, Any]:
    imports = draw(_some(shared)) if shared else []
    own = {"access_token_ttl": draw(_TTLS)} if draw(st.booleans()) else {}
    return {"folder": folder, "imports": imports, **own}


@st.composite
def workspaces(draw: st.DrawFn) -> str:
    """Draw the text of a valid project file: one to four environments, up to four services.

    Each is about the project `chainalign`, so one text can follow another in a test.
    """
    shared = draw(_some(_SHARED))
    folders = draw(st.permutations(_FOLDERS))
    services = draw(_some(_SERVICES))
    name = st.sampled_from([str.title, str.upper])
    data = {
        "project": {"name": draw(st.sampled_from(["ChainAlign", "Chain"])), "slug": "chainalign"},
        "environments": [
            {"slug": slug, "name": draw(name)(slug)} for slug in draw(_some(_ENVIRONMENTS, least=1))
        ],
        "shared_folders": shared,
        "services": {
            service: draw(_service(folder, shared))
            for service, folder in zip(services, folders, strict=False)
        },
        "access_token_ttl": draw(_TTLS),
        "access_token_max_ttl": draw(st.sampled_from([3600, 86_400])),
    }
    return yaml.safe_dump(data, sort_keys=False)
