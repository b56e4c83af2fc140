"""Test that secrets survive a reboot of the host."""

import pytest

from tests.e2e.conftest import assert_converged_after_boot
from tests.e2e.inspection import deployer, place
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_KEY = "OBVIOUSLY_FAKE"


def test_secrets_survive_a_reboot(deployed_host: StagingHost) -> None:
    with deployer(deployed_host) as client:
        at = place(client, "/backend")
        client.post(f"/api/v4/secrets/{_KEY}", json={**at, "secretValue": "fake-value"})
    deployed_host.reboot()
    assert_converged_after_boot(deployed_host)
    with deployer(deployed_host) as client:
        secret = client.get(f"/api/v4/secrets/{_KEY}", params=at)["secret"]
        client.delete(f"/api/v4/secrets/{_KEY}", json=at)
    assert secret["secretValue"] == "fake-value"
