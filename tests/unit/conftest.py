"""Configure Hypothesis for all unit tests, and let fake servers enforce privileges."""

import pytest
from hypothesis import settings

from infisical_iac.workspace import isolation

# No deadline for an example: another process may use the processor, and benchmarks measure times.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _privileges_are_enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    # The proof is tested on the stand-in and on a real server, which have permissions.
    monkeypatch.setattr(isolation, "prove", lambda client, method: "Proven.")
