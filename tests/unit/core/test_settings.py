"""Test the defaults of settings, and that each refusal names the setting and the remedy."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from pyrage.x25519 import Identity

from infisical_iac.backup.target import BackupTarget, Keep
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.settings import SECTION_OF, Settings, load
from infisical_iac.core.validation import SettingsModel
from infisical_iac.hetzner.settings import NamedHost
from infisical_iac.host.settings import AllowedPort
from infisical_iac.instance.settings import Smtp
from infisical_iac.stack.settings import DIGESTS
from infisical_iac.workspace.settings import ApiRate
from tests.unit.settings_of import defaults

_LOCAL_TARGETS = "({'name': 'local', 'repository': '/mnt/backups'},)"


@pytest.fixture
def values() -> dict[str, Any]:
    return defaults()


def test_the_defaults_are_complete_except_the_administrators_address(
    values: dict[str, Any],
) -> None:
    settings = load(values)
    tags = ("infisical/infisical:v0.165.16", "postgres:17.11", "redis:8.2.10", "caddy:2.11.7")
    assert settings.images == tuple(f"{tag}@{DIGESTS[tag]}" for tag in tags)


def test_an_unknown_release_gets_no_digest(values: dict[str, Any]) -> None:
    """Docker would run the image of the digest, and ignore the tag."""
    given = {"infisical_version": "v0.166.0", "postgres_image": "registry.example/postgres:17.11"}
    settings = load(values | given)
    assert settings.stack.infisical_reference == "infisical/infisical:v0.166.0"
    assert settings.stack.postgres_image == "registry.example/postgres:17.11"


def test_images_of_an_archive_are_referenced_by_their_tags(values: dict[str, Any]) -> None:
    settings = load(values | {"image_archives": ("images.tar",)})
    tags = ("infisical/infisical:v0.165.16", "postgres:17.11", "redis:8.2.10", "caddy:2.11.7")
    assert settings.images == tags


def test_a_digest_pins_the_image(values: dict[str, Any]) -> None:
    digest = "sha256:" + "a" * 64
    settings = load(values | {"infisical_digest": digest})
    assert settings.stack.infisical_reference == f"infisical/infisical:v0.165.16@{digest}"


def test_keys_of_pyinfra_itself_are_ignored(values: dict[str, Any]) -> None:
    assert load(values | {"ssh_user": "root", "_sudo": True}) == load(values)


def test_addresses_are_normalized(values: dict[str, Any]) -> None:
    given = {"site_url": "https://secrets.example.com/", "admin_email": "Admin@Example.com"}
    settings = load(values | given)
    assert settings.stack.site_url == "https://secrets.example.com"
    assert settings.workspace.admin_email == "admin@example.com"


@pytest.mark.parametrize(
    ("change", "key", "fact"),
    [
        ({"infisical_verison": "v1.2.3"}, "infisical_verison", "'infisical_version'"),
        ({"schema_version": 2}, "schema_version", "newer"),
        ({"colour": "red"}, "colour", "`infisical-iac docs settings`"),
        ({"domain": "x.example"}, "domain", "'site_url'"),
        ({"email": "a@x.example"}, "email", "'admin_email'"),
        ({"host": "203.0.113.7"}, "host", "'ssh_hostname'"),
        ({"admin_email": ""}, "admin_email", "is not set"),
        ({"admin_email": "nobody"}, "admin_email", "'nobody' … not an e-mail address"),
        ({"infisical_version": "latest"}, "infisical_version", "'latest' … fixed release"),
        ({"infisical_version": "v0.165.16-postgres"}, "infisical_version", "write 'v0.165.16'"),
        ({"infisical_version": "0.165.16"}, "infisical_version", "'0.165.16' is not a release"),
        ({"infisical_digest": "sha256:abc"}, "infisical_digest", "must be sha256:"),
        (
            {"site_url": "secrets.example.com"},
            "site_url",
            "'secrets.example.com' is not an absolute",
        ),
        ({"site_url": "https://none"}, "site_url", "'https://none' names no host"),
        ({"site_url": "https://None:443"}, "site_url", "'https://None:443' names no host"),
        ({"site_url": "https://x.example/a"}, "site_url", "scheme, host and port"),
        ({"postgres_image": "postgres"}, "postgres_image", "'postgres' names no version"),
        ({"keep_releases": 0}, "keep_releases", "0 leaves no release"),
        ({"redis_image": "redis:alpine"}, "redis_image", "'redis:alpine' names no version"),
        (
            {"site_url": "https://exa mple.com"},
            "site_url",
            "'https://exa mple.com' is not an absolute",
        ),
        ({"site_url": "https://a$b.example.com"}, "site_url", "is not … absolute address"),
        ({"infisical_image": "infisical/infisical:v1"}, "infisical_image", "infisical_version"),
        ({"postgres_image": "postgres:17; reboot"}, "postgres_image", "'postgres:17; reboot'"),
        ({"trusted_proxy_cidrs": ("foo",)}, "trusted_proxy_cidrs", "'foo' … is not a network"),
        ({"infisical_cpus": -1}, "infisical_cpus", "-1 must be a number"),
        ({"minimum_free_disk_gb": float("nan")}, "minimum_free_disk_gb", "must be a number"),
        ({"redis_memory": "0m"}, "redis_memory", "'0m' is not a size"),
        ({"infisical_memory": "2"}, "infisical_memory", "'2' has no unit"),
        ({"infisical_memory": "640m"}, "infisical_memory", "less than 768m"),
        ({"infisical_memory_needed": "x"}, "infisical_memory_needed", "'x' … is not a size"),
        ({"http_port": 80}, "http_port", "80 is out of range"),
        ({"docker_source": "snap"}, "docker_source", "'snap'"),
        ({"organization": "a\x1b"}, "organization", "'a\\x1b' is not a name"),
        ({"start_timeout": 1}, "start_timeout", "10 or more"),
        ({"firewall": "maybe"}, "firewall", "'maybe'"),
        ({"ssh_networks": ()}, "ssh_networks", "is empty"),
        ({"ssh_networks": ("home",)}, "ssh_networks", "'home' … is not a network"),
        ({"ssh_networks": ("10.1.2.3/8",)}, "ssh_networks", "write 10.0.0.0/8"),
        ({"allowed_ports": ({"port": 0},)}, "allowed_ports.0.port", "0 is not a port"),
        (
            {"allowed_ports": ({"port": 1, "protocol": "icmp"},)},
            "allowed_ports.0.protocol",
            "'icmp'",
        ),
        ({"allowed_ports": ({"port": 1, "networks": ()},)}, "allowed_ports.0.networks", "is empty"),
        ({"allowed_ports": ({"prot": 1},)}, "allowed_ports.0.port", "is not set"),
        ({"hardening": "strict"}, "hardening", "'strict'"),
        ({"auditd": True}, "auditd", "True"),
        ({"maintenance_window": "Sun\nExecStart=x"}, "maintenance_window", "'Sun\\nExec"),
        ({"automatic_reboot": "whenever"}, "automatic_reboot", "'whenever'"),
        ({"server_name": "My Server"}, "server_name", "'My Server'"),
        ({"server_type": "CX 33"}, "server_type", "such as cx33"),
        ({"server_location": ""}, "server_location", "'' … is not a name"),
        ({"server_image": "/etc"}, "server_image", "'/etc' is not a name"),
        (
            {"server_ssh_keys": ("~/.ssh/id",)},
            "server_ssh_keys.0",
            "'~/.ssh/id' … not a public key",
        ),
        ({"server_volume_gb": 5}, "server_volume_gb", "5 is not sold; choose 10 to 10240"),
        ({"server_ipv4": "x"}, "server_ipv4", "'x'"),
        ({"server_ipv4": False, "server_ipv6": False}, "server_ipv4", "server_ipv6 are both off"),
        ({"server_backups": "x"}, "server_backups", "'x'"),
        ({"server_placement_group": "A B"}, "server_placement_group", "'A B'"),
        ({"server_dns_zone": "example"}, "server_dns_zone", "'example' … is not a zone"),
        ({"data_volume": "sdb"}, "data_volume", "'sdb'"),
        ({"data_volume": "/dev/../etc"}, "data_volume", "'/dev/../etc' is not a block"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(
    values: dict[str, Any], change: dict[str, Any], key: str, fact: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(values | change)
    first, *more = str(refusal.value).splitlines()
    lines = [line.strip() for line in more or [first]]
    assert all(line.startswith("setting ") for line in lines)
    named = [line for line in lines if re.match(rf"setting '?{re.escape(key)}[' ]", line)]
    assert [line for line in named if all(part in line for part in fact.split(" … "))]


def test_a_setting_that_is_not_set_has_its_default() -> None:
    """A user's `group_data/` holds only settings that differ from the defaults."""
    settings = load({"admin_email": "admin@example.com", "http_port": 8081})
    assert settings == load(defaults(http_port=8081))
    assert settings.stack.site_url == "http://127.0.0.1:8080"


def test_several_errors_are_reported_as_a_list(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        load(values | {"http_port": 80, "site_ulr": "", "colour": "red"})
    first, *lines = str(refused.value).splitlines()
    assert first == "the settings have 3 errors:"
    assert [line.split()[1] for line in lines] == ["'colour'", "'site_ulr'", "'http_port':"]
    assert refused.value.code == "settings.unknown_key"


def test_each_setting_is_in_the_section_of_one_slice(values: dict[str, Any]) -> None:
    settings = load(values)
    sections = {name: type(getattr(settings, name)) for name in Settings.model_fields}
    assert sections.pop("schema_version") is int
    keys = [key for section in sections.values() for key in section.model_fields]
    of_pyinfra = {each for each in values if each.startswith("ssh_connect_")}
    assert sorted([*keys, "schema_version"]) == sorted(values.keys() - of_pyinfra)
    assert {name: each.__module__ for name, each in sections.items()} == {
        name: f"infisical_iac.{name}.settings" for name in sections
    }


def test_settings_with_other_values_are_a_copy(values: dict[str, Any]) -> None:
    settings = load(values)
    other = settings.with_values(topology="swarm", http_port=8081)
    assert (other.cluster.topology, other.stack.http_port) == ("swarm", 8081)
    assert (settings.cluster.topology, settings.stack.http_port) == ("single", 8080)
    assert other.with_values(topology="single", http_port=8080) == settings


@pytest.mark.parametrize(
    ("given", "key", "written"),
    [
        ({"server_ssh_keys": "ada"}, "server_ssh_keys", "('ada',)"),
        ({"backup_targets": {"name": "local"}}, "backup_targets", "({'name': 'local'},)"),
        (
            {"backup_targets": ("/var/backups",)},
            "backup_targets.0",
            "{'name': 'local', 'repository': '/var/backups'}",
        ),
        ({"infisical_memory": 1536}, "infisical_memory", "'1536m'"),
        ({"infisical_memory": "512"}, "infisical_memory", "'512m'"),
        ({"http_port": "abc"}, "http_port", "one such as 10"),
        ({"infisical_cpus": "abc"}, "infisical_cpus", "one such as 0.5"),
        ({"acme_email": 5}, "acme_email", "it in quotes: '5'"),
        ({"server_ipv4": "maybe"}, "server_ipv4", "True or False"),
        ({"swap": "on"}, "swap", "'off' or 'keep'"),
        ({"backup_targets": "/mnt/backups"}, "backup_targets", _LOCAL_TARGETS),
        ({"backup_targets": ("/mnt/backups",)}, "backup_targets.0", _LOCAL_TARGETS[1:-2]),
        ({"backup_keep": 30}, "backup_keep", "{'daily': 30}"),
        ({"allowed_ports": (9100,)}, "allowed_ports.0", "{'port': 9100}"),
        ({"allowed_ports": 9100}, "allowed_ports", "({'port': 9100},)"),
        ({"hosts": ("10.0.0.1",)}, "hosts.0", "{'address': '10.0.0.1'}"),
        (
            {"ssh_networks": "10.0.0.0/8, 192.168.0.0/16"},
            "ssh_networks",
            "('10.0.0.0/8', '192.168.0.0/16')",
        ),
        ({"http_port": (8080,)}, "http_port", "8080"),
        ({"ingress": ("none",)}, "ingress", "'none'"),
        ({"http_port": None}, "http_port", "one such as 10"),
        ({"site_url": None}, "site_url", "it in quotes,"),
        ({"workspace_file": Path("a.yaml")}, "workspace_file", "it in quotes: 'a.yaml'"),
        ({"redis_memory": "512MB"}, "redis_memory", "'512m'"),
        ({"postgres_memory": "1.5 GiB"}, "postgres_memory", "'1536m'"),
        ({"ui_networks": None}, "ui_networks", "one such as ("),
        (
            {"backup_targets": ({"name": "a"},)},
            "backup_targets.0.repository",
            "one such as '/var/backups/infisical'",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_a_value_to_write(
    values: dict[str, Any], given: dict[str, Any], key: str, written: str
) -> None:
    refused = _describe_refusal(values | given)
    assert refused.startswith(f"setting {key!r}: ")
    _, _, remedy = refused.partition("; write ")
    assert re.match(rf"{re.escape(written)}(?![\w)])", remedy)


@pytest.mark.parametrize(
    ("given", "key", "close"),
    [
        (
            {"backup_targets": ({"name": "a", "repositry": "/mnt/backups"},)},
            "backup_targets.0.repositry",
            "'repository'",
        ),
        ({"backup_keep": {"dayly": 7}}, "backup_keep.dayly", "'daily'"),
    ],
)
def test_an_unknown_key_of_an_entry_is_refused_with_the_closest_key(
    values: dict[str, Any], given: dict[str, Any], key: str, close: str
) -> None:
    lines = [line.strip() for line in _describe_refusal(values | given).splitlines()]
    (line,) = (line for line in lines if line.startswith(f"setting {key!r}: "))
    assert "unknown" in line
    assert close in line


_ODD: tuple[Any, ...] = (
    *(None, True, 3, 1.5, "odd", "", b"odd", Path("odd"), object()),
    *((), ("odd",), (3,), (None,), [3], {3}, ({},), ({"odd": 1},), {}, {"odd": 1}),
)
_KEYS = ["schema_version", *SECTION_OF]
# The keys with dictionaries as values, each with the model of a dictionary.
_ENTRIES: dict[str, type[SettingsModel]] = {
    "backup_targets": BackupTarget,
    "backup_keep": Keep,
    "smtp": Smtp,
    "api_rate": ApiRate,
    "allowed_ports": AllowedPort,
    "hosts": NamedHost,
}
_PLACES = [(key, None) for key in _KEYS] + [
    (key, field) for key, entry in _ENTRIES.items() for field in entry.model_fields
]
_LIBRARY = re.compile(
    r"[Ii]nput|should be|\b[Ee]xtra\b|[Vv]alid |[Ii]nstance|[Uu]nable|permitted|Field required"
    "|pydantic"
)
# The remedy of a refusal.
_REMEDY = re.compile(
    r"\b(write|choose|give|allow|keep|pin|turn|set|put|must be|must keep|did you mean|"
    r"there are|use|lists the values|remove|upgrade|have one)\b"
)


@pytest.mark.parametrize(("key", "field"), _PLACES)
def test_no_value_is_refused_in_the_words_of_a_library(
    values: dict[str, Any], key: str, field: str | None
) -> None:
    refusals = list(
        filter(None, (_describe_refusal(values | _wrap(key, field, odd)) for odd in _ODD))
    )
    assert refusals
    found = [line for refusal in refusals for line in refusal.splitlines()]
    for sentence in [line for line in found if not line.startswith("the settings have ")]:
        assert not _LIBRARY.search(sentence), sentence
        assert _REMEDY.search(sentence), sentence
        assert "\n" not in sentence


def _wrap(key: str, field: str | None, value: Any) -> dict[str, Any]:
    if field is None:
        return {key: value}
    entry = {**_ENTRIES[key].example, field: value}
    return {key: entry if key in ("api_rate", "backup_keep", "smtp") else (entry,)}


@pytest.mark.parametrize("key", SECTION_OF)
def test_the_error_on_a_wrong_comma_shows_a_value_that_is_accepted(
    values: dict[str, Any], key: str
) -> None:
    values = values | _NEEDED.get(key, {})
    good = _GOOD.get(key, values[key])
    assert good != (), f"add an example of {key} to _GOOD"
    wrong = good[0] if isinstance(good, tuple) else (good,)
    refusal = _describe_refusal(values | {key: wrong})
    if key in _UNSHOWN:
        assert refusal.endswith(", without the comma")
        return
    if key in _UNSHOWN_TUPLES:
        assert repr(wrong) not in refusal
        return
    written = re.search(r"write (.*), with(?:out)? the comma$", refusal)
    assert written, refusal
    accepted = load(values | {key: ast.literal_eval(written[1])})
    assert accepted == load(values | {key: good})


_UNSHOWN = (
    "backup_webhook",
    "heartbeat_url",
    "outbound_proxy",
    "infisical_environment",
    "license_key",
    "login",
    "smtp",
)
# The same for tuples: all others of the right form are shown.
_UNSHOWN_TUPLES = ("alerts", "infisical_secrets", "registry_login")
# Examples with one entry, for settings whose defaults have none or several.
_GOOD: dict[str, Any] = {
    "alerts": ({"name": "team", "kind": "json", "to": "https://hooks.example.com/fake"},),
    "alerts_ignored": ("load",),
    "allowed_ports": ({"port": 9100},),
    "api_rate": {"reads": 30},
    "infisical_environment": {"OTEL_EXPORT_TYPE": "otlp"},
    "infisical_secrets": ("GITHUB_API_TOKEN",),
    "smtp": {"host": "smtp.example.com", "from_address": "infisical@example.com"},
    "hosts": ({"address": "203.0.113.7"},),
    "image_archives": ("images.tar",),
    "internal_networks": ("10.1.0.0/16",),
    "login_methods": ("email",),
    "machine_networks": ("10.0.0.0/8",),
    "monitoring_listen": {"address": "127.0.0.1"},
    "no_proxy": ("git.internal",),
    "recovery_recipients": (str(Identity.generate().to_public()),),
    "registry_login": ({"registry": "r.example", "user": "u", "password_variable": "P"},),
    "server_ssh_keys": ("~/.ssh/id.pub",),
    "ssh_networks": ("203.0.113.0/24",),
    "trusted_proxy_cidrs": ("127.0.0.0/8",),
    "ui_networks": ("10.0.0.0/8",),
}
# For each setting, the other settings without which it has no effect.
_NEEDED: dict[str, dict[str, Any]] = {
    "alerts": {"monitoring": "on"},
    "monitoring_listen": {"monitoring": "on"},
    "no_proxy": {"outbound_proxy": "http://proxy.internal:3128"},
}


def test_an_address_that_may_hold_a_token_is_never_shown(values: dict[str, Any]) -> None:
    address = "https://hooks.example.com/obviously-fake"
    for wrong in ((address,), {address}, f"{address} ", ({"url": address},)):
        assert "obviously-fake" not in _describe_refusal(values | {"backup_webhook": wrong})
    assert "obviously-fake" not in repr(load(values | {"backup_webhook": address}))


def _describe_refusal(values: dict[str, Any]) -> str:
    try:
        load(values)
    except SettingsError as error:
        return str(error)
    return ""
