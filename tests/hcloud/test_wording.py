"""Test the sentences that people read, so that they can be improved in one place."""

from infisical_iac.agent.swarm import ClusterReport, VotingNode
from infisical_iac.hetzner.replacement import explain_need
from tests.hcloud.shapes import Refused
from tests.hcloud.world import World


def test_wording_of_a_refused_setting(world: World) -> None:
    world.set("server_ssh_keys = ()\n")
    assert world.expect_refusal("create", "--yes") == (
        "setting 'server_ssh_keys' is empty: nobody could log in; put the path of your public key "
        "there, such as ~/.ssh/id_ed25519.pub"
    )


def test_wording_of_a_request_that_the_api_refuses(world: World) -> None:
    world.api.troubles = [Refused(403, "token_readonly")]
    assert "the token may only read" in world.expect_refusal("create", "--yes")


def test_wording_of_the_need_for_a_node() -> None:
    votes = {"infisical": "reachable", "b": "reachable", "c": "unreachable"}
    nodes = (VotingNode(name, number, vote) for number, (name, vote) in enumerate(votes.items(), 1))
    assert (
        explain_need(ClusterReport(tuple(nodes)), "b")
        == "1 of 3 managers would be left, which is not a majority"
    )
