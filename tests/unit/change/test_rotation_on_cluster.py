"""Test the steps of a rotation on a cluster: when each node gets and removes a password."""

import pytest

from infisical_iac.change import rotation
from infisical_iac.change.keys import UnfinishedRotation, find_key
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.images import Images
from tests.unit.change.steps import NotingHost
from tests.unit.clusters import settings, site


def test_a_rotation_rolls_out_the_services_of_a_cluster(host: NotingHost) -> None:
    rotation.rotate(find_key("auth-secret"), settings(), "chainalign", site())
    switch = ["rotation switch", "keys derive", "roll out", "checks"]
    assert host.steps == ["rotation prepare auth_secret", *switch, "rotation end"]


@pytest.mark.parametrize("desired", ["v0.120.0", "v0.166.0"])
def test_a_rotation_changes_no_version(host: NotingHost, desired: str) -> None:
    """Only an upgrade dumps the data first, and a downgrade is refused."""
    running = "registry.example/infisical:v0.165.16@sha256:" + "a" * 64
    host.was = Images(running, settings().cluster.patroni_image)
    rotation.rotate(
        find_key("auth-secret"), settings(), "chainalign", site(infisical_version=desired)
    )
    assert host.rolled_out is not None
    assert host.rolled_out.stack.infisical_reference == running


@pytest.mark.parametrize("failing", ["", "checks"])
def test_possible_leaders_have_both_passwords_before_postgresql_changes(
    host: NotingHost, nodes_of: dict[str, list[str]], failing: str
) -> None:
    if failing:
        host.failing = [failing]
        with pytest.raises(RunFailed, match=r"new database key .* old one ") as failed:
            rotation.rotate(find_key("database"), settings(), "chainalign", site(unreachable=(3,)))
        assert failed.value.code == "run.key_given_up"
    else:
        rotation.rotate(find_key("database"), settings(), "chainalign", site(unreachable=(3,)))
    use = ["keys derive", "spread", "rotation alter", "roll out"]
    back = ["rotation back", *use] if failing else []
    switch = ["rotation switch", *use, "checks"]
    assert host.steps == ["rotation prepare postgres_password", *switch, *back, "rotation end"]
    key = "/etc/infisical/keys/postgres_password"
    handed = [f"write {key}.old", f"write {key}.next"]
    times = 2 if failing else 1
    assert nodes_of == {"node-2": [*handed * times, f"rm -f {key}.next {key}.old"]}


_ADMIT = "redis_passwords admit hash-1 hash-2"
_ONLY = "redis_passwords accept_only hash-1"


@pytest.mark.parametrize("failing", ["", "checks"])
def test_each_redis_accepts_both_passwords_until_the_rotation_is_decided(
    host: NotingHost, nodes_of: dict[str, list[str]], failing: str
) -> None:
    if failing:
        host.failing = [failing]
        with pytest.raises(RunFailed, match=r"new redis key .* old one ") as failed:
            rotation.rotate(find_key("redis"), settings(), "chainalign", site())
        assert failed.value.code == "run.key_given_up"
    else:
        rotation.rotate(find_key("redis"), settings(), "chainalign", site())
    use = ["keys derive", "roll out"]
    hashes = "redis_passwords hashes"
    back = [hashes, "rotation back", *use] if failing else []
    prepare = ["rotation prepare redis_password", hashes]
    switch = ["rotation switch", *use, "checks"]
    assert host.steps == [*prepare, *switch, *back, hashes, "rotation end"]
    admitted = [_ADMIT] * (2 if failing else 1)
    assert nodes_of == {node: [*admitted, _ONLY] for node in ("node-1", "node-2", "node-3")}


def test_a_rotation_of_the_redis_key_is_refused_while_a_data_node_is_unreachable(
    host: NotingHost,
) -> None:
    with pytest.raises(RunFailed, match=r"^node-3 can't be reached, .* nothing was changed"):
        rotation.rotate(find_key("redis"), settings(), "chainalign", site(unreachable=(3,)))
    assert host.steps == []


def test_a_rotation_ends_even_if_a_redis_does_not_answer(
    host: NotingHost, nodes_of: dict[str, list[str]]
) -> None:
    host.failing = [_ONLY, _ADMIT] * 3
    rotation.recover(
        UnfinishedRotation(find_key("redis"), "prepared"), settings(), "chainalign", site()
    )
    assert host.steps[-1] == "rotation end"


@pytest.mark.parametrize("phase", ["prepared", "back", "proven"])
def test_passwords_of_an_interrupted_rotation_are_removed(
    host: NotingHost, nodes_of: dict[str, list[str]], phase: str
) -> None:
    rotation.recover(UnfinishedRotation(find_key("redis"), phase), settings(), "chainalign", site())
    assert {steps[-1] for steps in nodes_of.values()} == {_ONLY}
    assert len(nodes_of) == 3
