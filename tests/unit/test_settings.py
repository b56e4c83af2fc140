"""The settings: the defaults are good, and each refusal names the setting and the remedy."""

import runpy
from typing import Any

import pytest

from infisical_iac.settings import SettingsError, load


@pytest.fixture
def values() -> dict[str, Any]:
    """The defaults of group_data/all.py, with the one value that a user must give."""
    module = runpy.run_path("group_data/all.py")
    defaults = {key: value for key, value in module.items() if not key.startswith("__")}
    return defaults | {"admin_email": "admin@example.com"}


def test_the_defaults_are_complete_but_for_the_administrators_address(
    values: dict[str, Any],
) -> None:
    settings = load(values)
    assert settings.infisical_reference == "infisical/infisical:v0.165.16"
    assert settings.images[1:] == ("postgres:17.11", "redis:8.2.3")


def test_a_digest_pins_the_image(values: dict[str, Any]) -> None:
    digest = "sha256:" + "a" * 64
    settings = load(values | {"infisical_digest": digest})
    assert settings.infisical_reference == f"infisical/infisical:v0.165.16@{digest}"


def test_keys_of_pyinfra_itself_are_passed_over(values: dict[str, Any]) -> None:
    assert load(values | {"ssh_user": "root", "_sudo": True}) == load(values)


def test_addresses_are_normalized(values: dict[str, Any]) -> None:
    given = {"site_url": "https://secrets.example.com/", "admin_email": "Admin@Example.com"}
    settings = load(values | given)
    assert settings.site_url == "https://secrets.example.com"
    assert settings.admin_email == "admin@example.com"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"infisical_verison": "v1.2.3"}, "did you mean 'infisical_version'"),
        ({"schema_version": 2}, "'schema_version': 2 was written for a newer infisical-iac"),
        ({"colour": "red"}, "setting 'colour' is unknown: group_data/all.py lists all"),
        ({"admin_email": ""}, "'admin_email': is not set; put the first administrator's"),
        ({"admin_email": "nobody"}, "'admin_email': 'nobody' is no e-mail address"),
        ({"infisical_version": "latest"}, "'infisical_version': 'latest' changes under"),
        ({"infisical_version": "v0.165.16-postgres"}, "write 'v0.165.16'"),
        ({"infisical_version": "0.165.16"}, "'0.165.16' is no release"),
        ({"infisical_digest": "sha256:abc"}, "'infisical_digest': must be sha256:"),
        ({"site_url": "secrets.example.com"}, "'site_url': 'secrets.example.com' is no absolute"),
        ({"site_url": "https://x.example/a"}, "has more than scheme, host and port"),
        ({"postgres_image": "postgres"}, "'postgres_image': 'postgres' names no version"),
        ({"keep_releases": 0}, "'keep_releases': 0 leaves nothing to go back to"),
        ({"redis_image": "redis:alpine"}, "'redis_image': 'redis:alpine' names no version"),
        ({"site_url": "https://exa mple.com"}, "'https://exa mple.com' is no absolute address"),
        ({"site_url": "https://a$b.example.com"}, "is no absolute address"),
        ({"infisical_image": "infisical/infisical:v1"}, "and its tag in infisical_version"),
        ({"postgres_image": "postgres:17; reboot"}, "'postgres_image': 'postgres:17; reboot'"),
        ({"trusted_proxy_cidrs": ("foo",)}, "'foo' is no network"),
        ({"infisical_cpus": -1}, "'infisical_cpus': -1 must be a number above 0"),
        ({"minimum_free_disk_gb": float("nan")}, "must be a number above 0"),
        ({"redis_memory": "0m"}, "'redis_memory': '0m' is no size"),
        ({"infisical_memory": "2"}, "'infisical_memory': '2' is no size"),
        ({"http_port": 80}, "'http_port': 80 is out of range"),
        ({"docker_source": "snap"}, "'docker_source'"),
        ({"organization": 'a"b'}, "'organization'"),
        ({"start_timeout": 1}, "start_timeout is 1 s"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(
    values: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(values | change)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_setting_points_to_its_default(values: dict[str, Any]) -> None:
    del values["site_url"]
    with pytest.raises(SettingsError, match="'site_url': is not set"):
        load(values)
