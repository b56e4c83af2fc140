"""Ask for the secrets that only the user has, such as the password of a mail server."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.terminal import prompt_secret
from infisical_iac.instance.network import URL_SAFE
from infisical_iac.instance.settings import MAIL_PASSWORD, GivenSecret

# Compose 1 and 2 read these differently in their .env, or not at all.
_UNREADABLE = ("\\\\", "\\'", "${")
# The values that the user gave to this process, by the name of their key.
_values: dict[str, str] = {}


def ask(secrets: Sequence[GivenSecret]) -> None:
    """Read the values from the environment, or prompt for them; `value_of` then returns them."""
    for each in secrets:
        if each.key not in _values:
            _values[each.key] = _check(each, _read(each))


def value_of(secret: GivenSecret) -> str:
    """Return the value that the user gave to this process; empty for none."""
    return _values.get(secret.key, "")


def locate(secret: GivenSecret, value: str = "") -> dict[str, str]:
    """Return the key and the value by which the agent finds a secret (agent/servers.py).

    Args:
        value: the value to use; by default the one that the user gave to this process.
    """
    return {"key": secret.key, "value": value or value_of(secret)}


def take(secret: GivenSecret) -> str:
    """Return a new value for a rotation, from the environment or a prompt."""
    _values.pop(secret.key, None)
    ask([secret])
    return value_of(secret)


def _read(secret: GivenSecret) -> str:
    name = secret.variable
    if value := os.environ.get(name):
        return value
    if file := os.environ.get(f"{name}_FILE"):
        try:
            return Path(file).expanduser().read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise SettingsError(
                f"the file {file}, which {name}_FILE names, can't be read as text: give another "
                "file",
                code="settings.not_readable",
            ) from None
    if not sys.stdin.isatty():
        raise SettingsError(
            f"the host does not have {secret.purpose} yet: set {name} or {name}_FILE for this run, "
            "or run in a terminal, which asks for it",
            code="settings.not_given",
        )
    return prompt_secret(f"{secret.purpose[0].upper()}{secret.purpose[1:]} ({name})")


def _check(secret: GivenSecret, text: str) -> str:
    value = text.rstrip("\r\n")
    why = ""
    if not value.strip():
        why = "is empty"
    elif not all(each.isprintable() or each in "\t\n" for each in value) or "\n\n" in value:
        why = "has control characters or empty lines"
    elif value.endswith("\\") or any(each in value for each in _UNREADABLE):
        why = "has ${, two \\ in a row, or a \\ before a quote or at its end"
    if not why and secret.is_in_address and not re.fullmatch(URL_SAFE, value):
        raise SettingsError(
            f"{secret.purpose} ({secret.variable}) has characters other than letters, digits and "
            "._~-, which Infisical's libraries send differently: choose another one",
            code="settings.unfit_secret",
        )
    if not why and secret.variable == MAIL_PASSWORD and not value.isascii():
        raise SettingsError(
            f"{secret.purpose} ({secret.variable}) has characters outside ASCII, which mail "
            "servers read differently: choose another one",
            code="settings.unfit_secret",
        )
    if not why and secret.form and not re.fullmatch(secret.form.pattern, value):
        raise SettingsError(
            f"{secret.purpose} ({secret.variable}) {secret.form.text}",
            code="settings.unfit_secret",
        )
    if why:
        raise SettingsError(
            f"{secret.purpose} ({secret.variable}) {why}, which Compose can't pass to the "
            "container: choose another one",
            code="settings.unfit_secret",
        )
    return value


def values() -> dict[str, str]:
    """Return all values of this process, by the names of their keys."""
    return dict(_values)
