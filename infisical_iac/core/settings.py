"""The settings: every key of `group_data/`, typed and checked, in a section for each slice.

`group_data/all.py` holds each setting with its default, in one flat namespace. The loader sorts
them into sections. The `settings.py` of each slice defines its section: what a setting means, in a
docstring below the field, which values are accepted, and the words of a refusal. `make docs`
generates `docs/reference/settings.md` from these.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from ipaddress import IPv4Network
from typing import Any, Self

from pydantic import ValidationError

from infisical_iac.backup.settings import BackupSettings
from infisical_iac.cluster.settings import ClusterSettings
from infisical_iac.core.compatibility import SETTINGS, Schema, find_moved_key, refusal
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.images import Images
from infisical_iac.core.validation import SettingsModel, explain
from infisical_iac.hetzner.settings import HetznerSettings
from infisical_iac.host.settings import HostSettings
from infisical_iac.stack.settings import StackSettings, with_known_digests
from infisical_iac.workspace.settings import WorkspaceSettings

# What pyinfra and its connectors read from the same data: not ours to check.
_PYINFRA_KEY = re.compile(r"^(_|ssh_|docker_identifier$|local_)")


class Settings(SettingsModel):
    """The checked settings of one host, immutable, and what follows from several sections."""

    schema_version: int
    """Version of the settings that `group_data/hetzner.py` was written for.

    Change: only when a new release of this project asks for it; an older version is refused with
    the keys that changed.
    """

    backup: BackupSettings
    cluster: ClusterSettings
    hetzner: HetznerSettings
    host: HostSettings
    stack: StackSettings
    workspace: WorkspaceSettings

    def value_of(self, key: str) -> Any:
        """Return the value of a key of `group_data/`."""
        return getattr(getattr(self, SECTION_OF[key]), key)

    def with_values(self, **values: Any) -> Self:
        """Return the settings with other values of keys of `group_data/`, which are not checked."""
        sections = {
            name: getattr(self, name).model_copy(update=changed)
            for name, changed in _split(values).items()
        }
        return self.model_copy(update=sections)

    def with_infisical(self, reference: str) -> Self:
        """Return the settings with another image of Infisical, by its whole reference."""
        name, _, digest = reference.partition("@")
        image, _, version = name.rpartition(":")
        return self.with_values(
            infisical_image=image, infisical_version=version, infisical_digest=digest
        )

    def keeping(self, was: Images) -> Self:
        """Return the settings without the change of version from the images that run."""
        kept = self.with_infisical(was.infisical)
        key = "patroni_image" if self.cluster.topology == "swarm" else "postgres_image"
        if Images("", self.value_of(key)).major == was.major:
            return kept
        return kept.with_values(**{key: was.postgres})

    @property
    def balancer_address(self) -> str:
        """The balancer's address in the private network, empty where there is no balancer."""
        if self.cluster.topology != "swarm" or self.hetzner.edge != "load-balancer":
            return ""
        return str(IPv4Network(self.hetzner.server_network)[-2])

    @property
    def services(self) -> dict[str, str]:
        """The services of the stack, each with the reference of its image.

        Of a cluster, those of the same name but for a number go by the name alone.
        """
        stack, cluster = self.stack, self.cluster
        databases = {"postgres": stack.postgres_image, "redis": stack.redis_image}
        if cluster.topology == "swarm":
            databases |= {
                "postgres": cluster.patroni_image,
                "etcd": cluster.etcd_image,
                "haproxy": cluster.haproxy_image,
            }
        caddy = {"caddy": stack.caddy_image} if stack.runs_caddy else {}
        return {"infisical": stack.infisical_reference, **databases, **caddy}

    @property
    def images(self) -> tuple[str, ...]:
        """The references of all images that the stack and drills run, Infisical's the first."""
        return tuple(dict.fromkeys((*self.services.values(), self.stack.postgres_image)))


_SECTIONS: dict[str, type[SettingsModel]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsModel)
}
# The section of each key of `group_data/`.
SECTION_OF = {key: name for name, section in _SECTIONS.items() for key in section.model_fields}


def load(data: Mapping[str, Any], schema: Schema = SETTINGS) -> Settings:
    """Check a host's data and return its settings.

    Args:
        data: what pyinfra merged from inventory, `group_data/` and `--data`; keys of pyinfra
            itself are passed over.
        schema: which version is read, and which keys of earlier ones are told by their new names.

    Raises SettingsError: a sentence for one thing that is wrong, a list for several.
    """
    keys = {"schema_version", *SECTION_OF}
    values = {key: data[key] for key in data if key in keys or not _PYINFRA_KEY.match(key)}
    stale = refusal(values.get("schema_version", schema.version), schema)
    if stale:
        raise SettingsError(f"setting 'schema_version': {stale}", code="settings.schema_version")
    surplus = sorted(values.keys() - keys)
    unknown = [
        f"setting {key!r} {find_moved_key((key,), schema) or _unknown(key)}" for key in surplus
    ]
    known = {key: value for key, value in values.items() if key in keys}
    version = {key: known.pop(key) for key in ("schema_version",) if key in known}
    sections: dict[str, Any] = {name: {} for name in _SECTIONS} | _split(with_known_digests(known))
    settings, errors = None, unknown
    missing: list[str] = []
    try:
        settings = Settings.model_validate(version | sections)
    except ValidationError as error:
        errors = [*unknown, *_sentences(error)]
        missing = [key for key in ("schema_version", *SECTION_OF) if key not in version | known]
    if unknown:
        raise SettingsError(_report(errors, missing), code="settings.unknown_key")
    if settings is None:
        raise SettingsError(_report(errors, missing))
    return settings


def _split(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        found.setdefault(SECTION_OF[key], {})[key] = value
    return found


def _report(errors: Sequence[str], missing: Sequence[str]) -> str:
    """Return one sentence, or a list with a line for each, on what is wrong with the settings.

    Args:
        errors: a sentence on each thing that is wrong, but for what is missing.
        missing: the keys that are not set. `group_data/all.py` sets each, so it is from another
            release then.
    """
    count = len(errors) + len(missing)
    if count == 1:
        has_default = "group_data/all.py of this release has its default"
        return [*errors, *(f"setting {key!r} is not set: {has_default}" for key in missing)][0]
    lines = [
        f"the settings have {count} errors:",
        *(f"  {each}" for each in errors),
        *(f"  setting {key!r} is not set" for key in missing),
    ]
    if missing:
        lines.append(
            "group_data/all.py is from another release of infisical-iac: take the file of this "
            "release, and keep your own values in group_data/<inventory>.py"
        )
    return "\n".join(lines)


def _unknown(key: str) -> str:
    close = get_close_matches(key, SECTION_OF, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "group_data/all.py lists all of them"
    return f"is unknown: {hint}"


def _sentences(error: ValidationError) -> Iterable[str]:
    for problem in error.errors():
        place = problem["loc"][1:] if problem["loc"][0] in _SECTIONS else problem["loc"]
        name = ".".join(str(part) for part in place)
        if problem["type"] == "missing" and len(place) == 1:
            continue  # `_report` lists these
        message = explain(problem, Settings)
        yield f"setting {name!r}: {message}" if name else f"setting {message}"
