"""The reference of Infisical's variables, from the table that checks them."""

from collections.abc import Iterator
from pathlib import Path

from infisical_iac.instance.variables import CHOICES, DEPRECATED, OWNED, PLAIN, SECRET

_INTRODUCTION = """\
# Infisical's variables

<!-- `make docs` writes this file from infisical_iac/instance/variables.py: edit that. -->

Infisical reads its own settings from variables of its environment. This project sets those that
follow from a setting of its own; you set any other one in `group_data/hetzner.py`:

```python
infisical_environment = {"OTEL_TELEMETRY_COLLECTION_ENABLED": "true"}
infisical_secrets = ("GITHUB_API_TOKEN",)
```

- Values in [`infisical_environment`](settings.md#infisical_environment) are in clear text. A value
  that looks like a secret is refused: it would stay in the history of the repository.
- [`infisical_secrets`](settings.md#infisical_secrets) has names only. The first `apply` takes each
  value from the variable of the environment with that name, from the file that the variable with
  `_FILE` names, or asks for it:

      GITHUB_API_TOKEN_FILE=~/.config/infisical-iac/github infisical-iac apply

  From then on it is on the host, in `/etc/infisical/keys`, and in the [recovery
  kit](../operate/recovery.md). `infisical-iac keys rotate GITHUB_API_TOKEN` replaces it.
- A secret may have several lines, but no empty one, no `${`, and no backslash before a quote,
  before another backslash or at its end: Compose can't pass these.
- A name that leaves both settings is removed: first from the container, then from the host.
- Drills run without these variables.

The names and forms are those of the server's source of July 2026
(`backend/src/lib/config/env.ts`). What each does is in Infisical's own documentation.
"""
PATH = Path("docs/reference/variables.md")
_FORMS = {
    "text": "text on one line",
    "url": "address with `https://`",
    "boolean": "`true` or `false`",
    "number": "number",
    "lifetime": "time such as `15m`, `24h` or `10d`",
    "json": "JSON",
}


def write() -> str:
    """Return the text of the page."""
    lines = [_INTRODUCTION, *_plain(), *_secret(), *_owned(), *_deprecated()]
    return "\n".join(lines)


def _names(names: object) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))  # type: ignore[call-overload]


def _plain() -> Iterator[str]:
    yield "## In clear text\n"
    yield "| form | variables |"
    yield "|---|---|"
    for form, words in _FORMS.items():
        yield f"| {words} | {_names(name for name, each in PLAIN.items() if each == form)} |"
    for name, choices in CHOICES.items():
        yield f"| {' or '.join(f'`{each}`' for each in choices)} | `{name}` |"
    yield ""


def _secret() -> Iterator[str]:
    yield "## Secret\n"
    yield f"{_names(SECRET)}\n"
    yield "Any variable of the list above may be given as a secret too.\n"


def _owned() -> Iterator[str]:
    yield "## Set by this project\n"
    yield "| variable | set instead |"
    yield "|---|---|"
    for name, owner in sorted(OWNED.items()):
        shown = f"`{name}…`" if name.endswith("_") else f"`{name}`"
        link = owner if owner.startswith("`") else f"[`{owner}`](settings.md#{owner})"
        yield f"| {shown} | {link} |"
    yield ""


def _deprecated() -> Iterator[str]:
    yield "## Deprecated by Infisical\n"
    yield "| variable | use instead |"
    yield "|---|---|"
    for name, other in sorted(DEPRECATED.items()):
        yield f"| `{name}` | `{other}` |"
    yield ""
