"""Whole objects: what this project writes is compared field by field, all else has a reason."""

from collections.abc import Mapping
from typing import Any

# What can be set of an object that this project makes, and is left as people set it.
UNDECLARED: Mapping[str, Mapping[str, str]] = {
    "project": {
        "description": "a text for people",
        "pitVersionLimit": "how many versions are kept is a choice of cost, and hides no value",
        "secretSharing": "sharing links is a choice of the people who use the web interface",
        "showSnapshotsLegacy": "shows or hides a page of the web interface",
        "secretDetectionIgnoreValues": "what the scanner of the web interface passes over",
        "enforceEncryptedSecretManagerSecretMetadata": (
            "concerns metadata of secrets, of which this project writes none"
        ),
    },
    "environment": {},
    "folder": {"description": "a text for people"},
    "import": {},
    "identity": {},
    "universal auth": {},
    "membership": {},
    "privilege": {},
}

_LABELS = {"hasDeleteProtection": "delete protection", "role": "role in the organization"}


def drift(desired: Mapping[str, Any], actual: Mapping[str, Any]) -> dict[str, Any]:
    """Return the desired fields that differ; one that a release does not tell of can't."""
    return {
        key: value
        for key, value in desired.items()
        if key in actual and (actual[key] if value is not False else bool(actual[key])) != value
    }


def words(differing: Mapping[str, Any], actual: Mapping[str, Any]) -> str:
    """Return what differs as people read it, such as `accessTokenTTL 7200 → 1800`."""
    return ", ".join(
        f"{_LABELS.get(key, key)} {_shown(actual[key])} → {_shown(value)}"
        for key, value in differing.items()
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return " and ".join(map(str, value)) or "none"
    return str(value)
