"""Variables that whatever runs a service gives it."""

import re

from infisical_iac.migrate.families import is_withheld

_GIVEN = re.compile(
    r"""
      NODE_ENV | PORT | HOST | HOSTNAME | HOME | PATH | PWD | USER | LOGNAME | SHELL | LANG | TZ
    | TERM | TMPDIR | TMP | TEMP | CI | DEBUG | EDITOR | NO_COLOR | FORCE_COLOR | DYNO | APP_NAME
    | (?:https?|no|all)_proxy | VIRTUAL_ENV | JEST_WORKER_ID
    | (?:INFISICAL|LC|XDG|SSH|NODE|NPM|NEXT|NUXT|VITEST|PYTEST|PYTHON|UVICORN|GUNICORN
        |GITHUB|GITLAB|RUNNER|VERCEL|RAILWAY|RENDER|FLY|DOKPLOY|KUBERNETES|COMPOSE|DOCKER
        |SYSTEMD|LD|DYLD)_\w+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_OURS = re.compile(
    r"NEXT_PUBLIC_\w+|NUXT_(PUBLIC_)?\w*(KEY|SECRET|TOKEN|URL)"
    r"|(?!INFISICAL_)\w+_(SECRET|PASSWORD|(API|PRIVATE|ACCESS|SECRET)_KEY|API_TOKEN)"
)


def is_given(key: str) -> bool:
    """Return whether a service has it without Infisical, so that it need not be there.

    What the loaders withhold would not come from there.
    """
    return (bool(_GIVEN.fullmatch(key)) and not _OURS.fullmatch(key)) or is_withheld(
        key, windows=False
    )
