"""The settings: the keys of `group_data/`, typed and validated, in a section for each slice.

`group_data/all.py` holds each setting with its default, in one flat namespace. It is part of the
package; a user's `group_data/` has what differs. The loader sorts the keys into sections. The
`settings.py` of each slice defines its section: the accepted values, the error messages, and the
meaning of each setting in a docstring below its field. `make docs` generates
`docs/reference/settings.md` from these.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from ipaddress import IPv4Network
from typing import Any, Self

from pydantic import ValidationError, model_validator

from infisical_iac.backup.settings import BackupSettings
from infisical_iac.cluster.settings import ClusterSettings
from infisical_iac.core.bundle import default_settings
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.images import Images
from infisical_iac.core.own_repository import list_stale_keys
from infisical_iac.core.schema import (
    SETTINGS_SCHEMA,
    Renamed,
    Schema,
    explain_moved_key,
    explain_version,
    warn_once,
    with_new_names,
)
from infisical_iac.core.validation import SettingsModel, explain
from infisical_iac.hetzner.settings import HetznerSettings
from infisical_iac.host.settings import HostSettings
from infisical_iac.instance.settings import Form, GivenSecret, InstanceSettings
from infisical_iac.monitoring.settings import ADDRESS, MonitoringSettings
from infisical_iac.stack.settings import StackSettings, with_known_digests
from infisical_iac.workspace.settings import WorkspaceSettings

# Keys of pyinfra and its connectors in the same data, which are not validated here.
_PYINFRA_KEY = re.compile(r"^(_|ssh_|docker_identifier$|local_)")


class Settings(SettingsModel):
    """The validated settings of one host, and values that follow from several sections."""

    schema_version: int
    """Version of the settings that `group_data/hetzner.py` was written for.

    Change: only when a new release of this project asks for it; an older version is refused with
    the keys that changed.
    """

    backup: BackupSettings
    cluster: ClusterSettings
    hetzner: HetznerSettings
    host: HostSettings
    instance: InstanceSettings
    monitoring: MonitoringSettings
    stack: StackSettings
    workspace: WorkspaceSettings

    @model_validator(mode="after")
    def _metrics_have_an_address(self) -> Self:
        listener = self.monitoring.monitoring_listen
        if listener and not listener.address and self.cluster.topology == "single":
            raise ValueError(
                "'monitoring_listen' names no address: write one of the host's own, such as "
                "10.0.0.2"
            )
        return self

    @model_validator(mode="after")
    def _metrics_are_set_once(self) -> Self:
        if self.monitoring.monitoring_listen:
            for name in METRICS_VARIABLES:
                if name in self.instance.infisical_environment:
                    raise ValueError(
                        f"'infisical_environment' has {name}, which monitoring_listen sets: remove "
                        "it from infisical_environment"
                    )
        return self

    def value_of(self, key: str) -> Any:
        """Return the value of a key of `group_data/`."""
        return getattr(getattr(self, SECTION_OF[key]), key)

    def with_values(self, **values: Any) -> Self:
        """Return the settings with other values for keys of `group_data/`, without validation."""
        sections = {
            name: getattr(self, name).model_copy(update=changed)
            for name, changed in _split(values).items()
        }
        return self.model_copy(update=sections)

    def with_infisical(self, reference: str) -> Self:
        """Return the settings with another image of Infisical, given its full reference."""
        name, _, digest = reference.partition("@")
        image, _, version = name.rpartition(":")
        return self.with_values(
            infisical_image=image, infisical_version=version, infisical_digest=digest
        )

    def keeping(self, was: Images) -> Self:
        """Return the settings without a change of version.

        Args:
            was: the images that run. PostgreSQL's image stays the desired one if its major version
                is the same.
        """
        kept = self.with_infisical(was.infisical)
        key = "patroni_image" if self.cluster.topology == "swarm" else "postgres_image"
        if Images("", self.value_of(key)).major == was.major:
            return kept
        return kept.with_values(**{key: was.postgres})

    @property
    def secrets(self) -> tuple[GivenSecret, ...]:
        """The secrets that the user has to give: those of Infisical, and addresses of alerts."""
        form = Form(ADDRESS, "is no address: give one that begins with https://")
        addresses = (
            GivenSecret(variable, purpose, form)
            for variable, purpose in self.monitoring.given_addresses
        )
        return (*self.instance.secrets, *addresses)

    @property
    def balancer_address(self) -> str:
        """The load balancer's address in the private network; empty if there is none."""
        if self.cluster.topology != "swarm" or self.hetzner.edge != "load-balancer":
            return ""
        return str(IPv4Network(self.hetzner.server_network)[-2])

    @property
    def metrics_ports(self) -> dict[str, int]:
        """The ports at `monitoring_listen`, by what they measure; empty if it is None."""
        if not self.monitoring.monitoring_listen:
            return {}
        # No host of a cluster reaches the networks of the services.
        if self.cluster.topology != "single":
            return {"node": 9100}
        # Behind another proxy, Caddy is in a container's network, which others are in too.
        caddy = {"caddy": 9180} if self.stack.ingress_kind.is_public else {}
        return {"node": 9100, "postgres": 9187, "redis": 9121, "infisical": 9464, **caddy}

    @property
    def services(self) -> dict[str, str]:
        """The reference of each service's image, by the service's name.

        A cluster's numbered services, such as `postgres-1`, have one entry without the number.
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
        """The references of all images of the stack and of drills, beginning with Infisical's."""
        return tuple(dict.fromkeys((*self.services.values(), self.stack.postgres_image)))


# The variables of Infisical that `monitoring_listen` sets. The meters that are dropped have e-mail
# addresses and names of secrets as labels.
METRICS_VARIABLES = {
    "OTEL_TELEMETRY_COLLECTION_ENABLED": "true",
    "OTEL_EXPORT_TYPE": "prometheus",
    "OTEL_DROP_HIGH_CARDINALITY_METERS": "true",
}

_SECTIONS: dict[str, type[SettingsModel]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsModel)
}
# The section of each key of `group_data/`.
SECTION_OF = {key: name for name, section in _SECTIONS.items() for key in section.model_fields}


def load(data: Mapping[str, Any], schema: Schema = SETTINGS_SCHEMA) -> Settings:
    """Validate a host's data, and return its settings, with the defaults of those that are not set.

    Args:
        data: the values that pyinfra merged from the inventory, `group_data/` and `--data`. Keys of
            pyinfra itself are ignored, and so are those that only a copy of another release's
            defaults has.
        schema: the version that is read, and the keys that earlier versions had.

    Raises SettingsError with a sentence for one error, or a list of several.
    """
    keys = {"schema_version", *SECTION_OF}
    values = {key: data[key] for key in data if key in keys or not _PYINFRA_KEY.match(key)}
    stale = explain_version(values.get("schema_version", schema.version), schema)
    if stale:
        raise SettingsError(f"setting 'schema_version': {stale}", code="settings.schema_version")
    if values.keys() - keys:
        stale_keys = list_stale_keys(default_settings())
        values = {key: each for key, each in values.items() if key not in stale_keys}
    values, uses = with_new_names(_without_defaults(values, schema), schema)
    for use in uses:
        warn_once(f"setting {'.'.join(map(str, use.place))!r} {use}")
    surplus = sorted(values.keys() - keys)
    unknown = [
        f"setting {key!r} {explain_moved_key((key,), schema) or _unknown(key)}" for key in surplus
    ]
    given = {key: value for key, value in values.items() if key in keys}
    known = {key: each for key, each in default_settings().items() if key in keys} | given
    version = {key: known.pop(key) for key in ("schema_version",) if key in known}
    sections: dict[str, Any] = {name: {} for name in _SECTIONS} | _split(with_known_digests(known))
    settings, errors = None, unknown
    try:
        settings = Settings.model_validate(version | sections)
    except ValidationError as error:
        errors = [*unknown, *_sentences(error)]
    if unknown:
        raise SettingsError(_report(errors), code="settings.unknown_key")
    if settings is None:
        raise SettingsError(_report(errors))
    return settings


def _without_defaults(values: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return the values without defaults of keys whose old name is set: a user set only that."""
    defaults = default_settings()
    renamed = {
        each.new for each in schema.moved if isinstance(each, Renamed) and each.old in values
    }
    return {
        key: value
        for key, value in values.items()
        if key not in renamed or value != defaults.get(key)
    }


def _split(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        found.setdefault(SECTION_OF[key], {})[key] = value
    return found


def _report(errors: Sequence[str]) -> str:
    """Return one error as a sentence, or several as a list with one line each."""
    if len(errors) == 1:
        return errors[0]
    return "\n".join([f"the settings have {len(errors)} errors:", *(f"  {e}" for e in errors)])


def _unknown(key: str) -> str:
    close = [_ASKED[key]] if key in _ASKED else get_close_matches(key, SECTION_OF, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "`infisical-iac docs settings` lists all"
    return f"is unknown: {hint}"


# The settings that answers of `infisical-iac init` are written to, by the names of its options.
_ASKED = {"domain": "site_url", "email": "admin_email", "host": "ssh_hostname"}


def _sentences(error: ValidationError) -> Iterable[str]:
    for problem in error.errors():
        # A check of several sections has no place.
        place = problem["loc"][1:] if {*problem["loc"][:1]} & {*_SECTIONS} else problem["loc"]
        name = ".".join(str(part) for part in place)
        message = explain(problem, Settings)
        yield f"setting {name!r}: {message}" if name else f"setting {message}"
