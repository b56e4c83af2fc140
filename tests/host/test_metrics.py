"""Test that metrics are served at `monitoring_listen` only, by logins that read nothing else."""

import re

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.monitoring.settings import MetricsListener
from tests.host.connection import Connection, Host
from tests.host.containers import Inspected
from tests.host.secrecy import Secret
from tests.host.sockets import Socket

_PORTS = (9100, 9121, 9180, 9187, 9464)
_ROLE = "infisical_metrics"
_PSQL = "psql --username=infisical --dbname=infisical --no-password --tuples-only --no-align"
# A line that only an exporter with access to its program has.
_SIGNS = {
    "node": "infisical_monitor_run_timestamp_seconds ",
    "postgres": "pg_up 1",
    "redis": "redis_up 1",
    "caddy": "caddy_http_requests_in_flight{",
    "infisical": "target_info{",
}
_of_containers = pytest.mark.single("no host of a cluster reaches its containers")
_UNITS = (
    "prometheus-node-exporter",
    pytest.param("prometheus-postgres-exporter", marks=_of_containers),
    pytest.param("prometheus-redis-exporter", marks=_of_containers),
)


@pytest.fixture(scope="session")
def listener(host: Host, settings: Settings) -> MetricsListener:
    if settings.monitoring.monitoring_listen is None:
        pytest.skip("setting 'monitoring_listen' is None")
    found = settings.monitoring.monitoring_listen
    if found.address:
        return found
    own = host.check_output("docker info --format '{{.Swarm.NodeAddr}}'")
    return found.model_copy(update={"address": own})


@pytest.fixture(scope="session")
def served(host: Host, settings: Settings, listener: MetricsListener) -> dict[str, str]:
    """The metrics by what they tell about."""
    asked = "curl --silent --show-error --fail --max-time 20 --noproxy '*' http://%s/metrics"
    return {
        name: host.check_output(asked, listener.place(port))
        for name, port in settings.metrics_ports.items()
    }


@pytest.fixture
def is_off(settings: Settings) -> None:
    if settings.monitoring.monitoring_listen is not None:
        pytest.skip("setting 'monitoring_listen' names an address")


def test_metrics_are_served_at_the_address_of_the_settings_only(
    settings: Settings, listener: MetricsListener, listening: list[Socket]
) -> None:
    at = {(each.address.strip("[]"), each.port) for each in listening if each.port in _PORTS}
    assert at == {(listener.address, port) for port in settings.metrics_ports.values()}


@pytest.mark.usefixtures("is_off")
def test_infisical_serves_no_metrics_without_the_setting(listening: list[Socket]) -> None:
    """Others may have exporters of their own."""
    of_metrics = [each for each in listening if each.port in _PORTS]
    assert [each for each in of_metrics if "infisical" in each.owners] == []


def test_units_serve_metrics_only_with_the_setting(host: Host, settings: Settings) -> None:
    has_units = host.file("/etc/systemd/system/prometheus-node-exporter.service").exists
    assert has_units is (settings.monitoring.monitoring_listen is not None)


def test_each_program_shows_its_metrics(served: dict[str, str]) -> None:
    missing = [name for name, text in served.items() if _SIGNS[name] not in text]
    assert missing == []


def test_no_metric_names_a_person(served: dict[str, str], settings: Settings) -> None:
    """The meters with e-mail addresses and names of secrets are dropped."""
    assert settings.workspace.admin_email not in "".join(served.values())
    of_infisical = served.get("infisical", "")
    assert re.findall(r'="[^"@ ]+@[^"@ ]+\.[a-z]+"', of_infisical) == []


@pytest.mark.parametrize("unit", _UNITS)
@pytest.mark.usefixtures("listener")
def test_an_exporter_has_a_user_of_its_own_and_no_capability(host: Host, unit: str) -> None:
    pid = host.check_output("systemctl show --property=MainPID --value %s.service", unit)
    status = host.file(f"/proc/{pid}/status").content_string
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    # The range of systemd's dynamic users.
    assert 61184 <= int(found["Uid"].split()[0]) <= 65519
    assert (found["CapEff"], found["CapBnd"], found["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")


@_of_containers
def test_the_role_in_postgres_reads_statistics_only(
    host: Host, settings: Settings, inspections: dict[str, Inspected]
) -> None:
    query = (
        "SELECT rolsuper, ARRAY(SELECT roleid::regrole::text FROM pg_auth_members "
        "WHERE member = r.oid), (SELECT count(*) FROM pg_class WHERE "
        "relnamespace = 'public'::regnamespace AND relkind = 'r' AND "
        "has_table_privilege(r.oid, pg_class.oid, 'SELECT')) "
        f"FROM pg_roles AS r WHERE rolname = '{_ROLE}'"
    )
    postgres = inspections["postgres"]["Id"]
    found = host.check_output(f"docker exec {postgres} {_PSQL} --command=%s", query).strip()
    on = settings.monitoring.monitoring_listen is not None
    assert found == ("f|{pg_monitor}|0" if on else "")


@pytest.fixture
def redis_lines(
    connection: Connection, inspections: dict[str, Inspected], secrets: dict[str, Secret]
) -> list[str]:
    """The answers of Redis about three calls of the user for metrics, and its users."""
    asked = (
        "IFS= read -r REDISCLI_AUTH; export REDISCLI_AUTH; "
        f"redis-cli --no-raw ACL DRYRUN {_ROLE} INFO; redis-cli ACL DRYRUN {_ROLE} GET key; "
        f"redis-cli ACL DRYRUN {_ROLE} CONFIG GET requirepass; redis-cli ACL LIST"
    )
    command = f"docker exec --interactive {inspections['redis']['Id']} sh -c '{asked}'"
    password = secrets["keys: redis_password"].reveal()
    return connection.quietly(command, f"{password}\n").splitlines()


def _users(lines: list[str]) -> list[str]:
    return [line.split()[1] for line in lines if line.startswith("user ")]


@_of_containers
@pytest.mark.usefixtures("listener")
def test_the_user_in_redis_reads_no_key_and_no_setting(redis_lines: list[str]) -> None:
    assert _users(redis_lines) == ["default", _ROLE]
    assert redis_lines[0] == "OK"
    assert [line for line in redis_lines if "no permissions" in line] == redis_lines[1:3]


@_of_containers
@pytest.mark.usefixtures("is_off")
def test_redis_has_only_its_own_user_without_the_setting(redis_lines: list[str]) -> None:
    assert _users(redis_lines) == ["default"]
