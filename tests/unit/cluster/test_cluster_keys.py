"""Test that the keys of a cluster are made if missing, but not in place of lost keys."""

import pytest

from infisical_iac.agent.keys import KeysState
from infisical_iac.core.errors import Refused
from infisical_iac.stack.keys import OF_A_CLUSTER, refuse

_EMAIL = "admin@example.com"


def _refuse(**found: object) -> None:
    state = KeysState(admin_email=_EMAIL, **found)  # type: ignore[arg-type]
    refuse(state, admin_email=_EMAIL, password_given=False)


def test_cluster_keys_are_made_next_to_a_single_hosts_database() -> None:
    _refuse(database=True, missing=frozenset(OF_A_CLUSTER.split()))


def test_a_lost_replication_password_is_not_replaced_next_to_its_database() -> None:
    with pytest.raises(Refused, match="/etc/infisical/keys/replication_password ") as refused:
        _refuse(database=True, replicas=True, missing=frozenset(OF_A_CLUSTER.split()))
    assert refused.value.code == "refused.lost_key"


def test_without_a_database_all_keys_are_made() -> None:
    _refuse(missing=frozenset({"encryption_key", *OF_A_CLUSTER.split()}))
