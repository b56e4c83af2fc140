"""Test that `destroy` asks for a name that a person recognizes."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.api.host import Host

from infisical_iac.cli import deploy
from infisical_iac.core.connection import HOST_DEPLOYMENT
from infisical_iac.core.errors import Refused


def _host(name: str, **data: Any) -> Host:
    return cast("Host", SimpleNamespace(name=name, data=data))


@pytest.mark.parametrize(
    ("host", "facts"),
    [
        (
            _host("infisical", ssh_hostname="203.0.113.7", **{HOST_DEPLOYMENT: "infisical"}),
            ("infisical at 203.0.113.7.", "the host's name, infisical: "),
        ),
        # Without an inventory name, the address in INFISICAL_HOST is the host's name.
        (
            _host("203.0.113.7", ssh_hostname="203.0.113.7"),
            ("with all its data. ", "the host's name, 203.0.113.7: "),
        ),
        (
            _host("infisical-2", topology="swarm", **{HOST_DEPLOYMENT: "infisical"}),
            ("the cluster's name, infisical: ",),
        ),
        (_host("one", topology="swarm"), ("the inventory's name, hetzner: ",)),
    ],
)
def test_the_question_names_the_server_as_people_know_it(
    host: Host, facts: tuple[str, ...], questions: list[str]
) -> None:
    target = deploy._removal(host, "inventory/hetzner.py")
    with pytest.raises(Refused, match=r"'another' is not .* nothing was done"):
        deploy._confirm_removal(target, None, volumes=True)
    assert questions[0].endswith(facts[-1])
    assert facts[0] in questions[0]
