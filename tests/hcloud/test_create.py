"""Test the changes of `server plan` and `server create`, their order, and what they keep."""

import json

import pytest

from infisical_iac.hetzner.remote import generate_host_key, user_data
from tests.hcloud.shapes import Refused
from tests.hcloud.world import ZONE, World, notes, parse_plan


def test_a_plan_lists_each_resource_with_its_price_and_changes_nothing(world: World) -> None:
    done = world.run("plan")
    assert done.exit_code == 2, done.output
    for line in (
        "+ SSH key operator",
        "+ firewall infisical: lets in tcp 22",
        "+ placement group apart: spread",
        "+ primary IP infisical-ipv4: 0.50 EUR a month (0.0008 an hour)",
        "+ volume infisical-data: 20 GB, 0.88 EUR a month (0.0012 an hour)",
        "~ volume infisical-data: protected from deletion",
        "+ server infisical: cx33 in nbg1 with debian-13, 5.49 EUR a month (0.0088 an hour)",
        "+ backups of infisical: 1.10 EUR a month (0.0018 an hour)",
        "~ reverse DNS of the ipv4 address: secrets.example.com",
        "+ record secrets A in example.com",
        "~ server infisical: wait for its first boot, then let it make its own host key",
        "In total: 7.97 EUR a month",
        "11 changes to make.",
    ):
        assert line.replace("tcp 22", f"tcp {world.port}") in done.output
    assert world.api.changes == []


def test_a_plan_as_json_holds_changes_and_prices(world: World) -> None:
    found = json.loads(world.run("plan", "--json").output)
    assert found["monthly"] == "7.97"
    assert {"kind": "+", "what": "SSH key operator", "detail": "", "diff": ""} in found["changes"]


def test_create_makes_all_resources_and_a_second_run_changes_nothing(world: World) -> None:
    said = world.ok("create", "--yes")
    cloud = world.cloud
    server, volume, wall = (cloud.only(kind) for kind in ("servers", "volumes", "firewalls"))
    address = cloud.only("primary_ips")
    ours = {"managed-by": "infisical-iac", "infisical-iac-deployment": "infisical"}
    assert server["labels"] == {**ours, "infisical-iac-ready": "yes"}
    made = [each for found in cloud.kinds.values() for each in found.values()]
    made += cloud.rrsets.values()
    assert all(each["labels"].items() >= ours.items() for each in made if each["name"] != ZONE)
    assert server["backup_window"]
    assert (volume["server"], volume["protection"]) == (server["id"], {"delete": True})
    assert [each["server"]["id"] for each in wall["applied_to"]] == [server["id"]]
    assert address["assignee_id"] == server["id"]
    assert not address["auto_delete"]
    assert address["dns_ptr"] == [{"ip": "127.0.0.2", "dns_ptr": f"secrets.{ZONE}"}]
    assert cloud.rrsets["secrets", "A"]["records"] == [{"value": "127.0.0.2"}]
    assert cloud.only("placement_groups")["servers"] == [server["id"]]
    assert f'data_volume = "{volume["linux_device"]}"' in said

    before = len(world.api.changes)
    assert world.ok("create", "--yes") == "Nothing to change.\n"
    assert world.run("plan").exit_code == 0
    assert len(world.api.changes) == before


def test_answering_no_creates_nothing(world: World) -> None:
    assert world.run("create", answer="n\n").exit_code == 1
    assert world.api.changes == []


def test_the_final_host_key_was_never_in_the_user_data(world: World) -> None:
    brought = []
    world.cloud.boot = lambda server, data: (brought.append(data), world.boot(server, data))[0]  # type: ignore[func-returns-value]
    world.ok("create", "--yes")
    (booted,) = world.booted.values()
    assert world.known_hosts == [f"[127.0.0.2]:{world.port} {booted.public()}"]
    assert booted.public() not in brought[0]


def test_a_server_with_another_host_key_is_refused(world: World) -> None:
    def someone_else(server: dict[str, object], brought: str) -> None:
        other = user_data(generate_host_key(), ssh_port=22)
        world.boot(server, other)

    world.cloud.boot = someone_else
    error = world.error("create", "--yes")
    assert error.code == "refused.host_key"
    assert ".infisical-iac/known_hosts" in str(error)
    (booted,) = world.booted.values()
    assert booted.commands == []


def test_a_private_host_key_is_stored_nowhere(world: World) -> None:
    done = world.run("create", "--yes")
    kept = [
        each for each in world.directory.rglob("*") if each.is_file() and each.name != "operator"
    ]
    assert "PRIVATE KEY" not in done.output + "".join(each.read_text() for each in kept)


def test_a_server_without_a_login_times_out_and_the_next_run_continues(world: World) -> None:
    world.cloud.boot = lambda *_: None
    error = world.error("create", "--yes", "--timeout", "1")
    assert error.code == "unreachable.host"
    assert f"[127.0.0.2]:{world.port} " in str(error)
    assert " 1 s" in str(error)
    server = world.cloud.only("servers")
    # The server boots late, with the host key that is known already.
    assert len(world.known_hosts) == 1
    assert "infisical-iac-ready" not in server["labels"]
    (detail,) = parse_plan(world.run("plan").output).values()
    assert "first boot" in detail


def test_an_existing_ssh_key_is_used(world: World) -> None:
    kind, text, _ = (world.directory / "operator.pub").read_text().split()
    there = world.cloud.add("ssh_keys", name="laptop", public_key=f"{kind} {text} me", labels={})
    world.ok("create", "--yes")
    assert world.cloud.only("ssh_keys") == there


def test_a_server_may_have_only_ipv6(world: World) -> None:
    world.cloud.network = "::/64"  # its first address is the loopback address
    world.set("server_ipv4 = False\nserver_ipv6 = True\n")
    assert "is up at ::1." in world.ok("create", "--yes")
    (booted,) = world.booted.values()
    assert world.known_hosts == [f"[::1]:{world.port} {booted.public()}"]
    assert world.cloud.rrsets["secrets", "AAAA"]["records"] == [{"value": "::1"}]
    assert world.run("plan").exit_code == 0


def test_a_volume_grows_with_its_setting(world: World) -> None:
    world.ok("create", "--yes")
    world.set("server_volume_gb = 50\n")
    assert "~ volume infisical-data: 20 → 50 GB" in world.run("plan").output
    world.ok("create", "--yes")
    assert world.cloud.only("volumes")["size"] == 50


def test_another_type_needs_a_replacement(world: World) -> None:
    world.ok("create", "--yes")
    world.set('server_type = "cx43"\n')
    (note,) = notes(world.run("plan").output)
    assert "cx33, not cx43:" in note
    assert "`infisical-iac server replace`" in note


def test_actions_that_take_time_are_waited_for(world: World) -> None:
    world.cloud.slow = 3
    world.ok("create", "--yes")
    assert len(world.slept) >= 3


def test_a_failed_action_is_reported_and_retried_by_the_next_run(world: World) -> None:
    world.cloud.failing.add("enable_backup")
    error = world.error("create", "--yes")
    assert error.code == "run.hetzner"
    assert "backups of infisical" in str(error)
    world.cloud.only("servers")["backup_window"] = None
    world.ok("create", "--yes")
    assert world.cloud.only("servers")["backup_window"]


def test_a_rate_limit_is_waited_for(world: World) -> None:
    world.api.troubles = [Refused(429, "rate_limit_exceeded")] * 3
    world.ok("create", "--yes")
    assert len(world.slept) >= 3


@pytest.mark.parametrize(
    ("trouble", "fact"),
    [
        ([Refused(429, "rate_limit_exceeded")] * 6, "requests of this hour"),
        ([Refused(403, "forbidden")], "may not do this"),
        ([Refused(403, "token_readonly")], "may only read"),
        ([Refused(503, "unavailable")], "Hetzner Cloud has trouble"),
        ([Refused(418, "teapot", "short and stout")], "short and stout (teapot)"),
    ],
)
def test_a_refusal_of_the_api_is_reported_in_a_sentence(
    world: World, trouble: list[Refused], fact: str
) -> None:
    world.api.troubles = trouble
    error = world.error("create", "--yes")
    assert error.code == "error.hetzner"
    assert fact in str(error)


def test_an_exceeded_limit_of_the_project_is_reported(world: World) -> None:
    world.cloud.limits["servers"] = 0
    error = world.error("create", "--yes")
    assert error.code == "error.hetzner"
    assert "server infisical:" in str(error)
    assert "limit is reached" in str(error)


def test_the_token_is_never_shown(world: World) -> None:
    world.api.troubles = [Refused(500, "server_error")]
    from tests.hcloud.server import TOKEN

    assert TOKEN not in world.run("plan").output + world.run("create", "--yes").output
