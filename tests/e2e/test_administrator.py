"""Test that the user may choose the first administrator's password."""

import pytest

from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import administrator, env_file, reset_stack
from tests.e2e.running import deploy
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_PASSWORD = "Fake;Pass|word&(x)<y>#1%~=*"


def test_a_password_with_shell_metacharacters_is_used_unchanged(deployed_host: StagingHost) -> None:
    reset_stack(deployed_host)
    given = {"INFISICAL_ADMIN_PASSWORD": _PASSWORD}
    run = deploy(deployed_host.name, "-vvv", "--debug", environment=given).ok()
    assert _PASSWORD not in run.stdout + run.stderr
    stored = env_file(deployed_host, "/etc/infisical/admin.env")
    assert stored["INFISICAL_ADMIN_PASSWORD"] == _PASSWORD
    with administrator(deployed_host) as client:
        assert len(client.get("/api/v1/organization")["organizations"]) == 1
    assert_converged(deployed_host)
