"""Configure Hypothesis, the garbage collector and the client of the API for all unit tests."""

import gc
import sys
from collections.abc import Generator

import pytest
from hypothesis import settings

from infisical_iac.agent import api
from infisical_iac.workspace import isolation

# No deadline for an example: another process may use the processor, and benchmarks measure times.
# `--hypothesis-profile=thorough` is for a change of what a property is about, and for each night.
settings.register_profile("quick", deadline=None, max_examples=15)
settings.register_profile("thorough", deadline=None, max_examples=200)
settings.load_profile("quick")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from going through all modules and tests, which stay anyway."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_finish() -> None:
    """Refuse an import that lets gevent patch this process: xdist's workers would then hang."""
    if "pyinfra_cli" in sys.modules:
        raise pytest.UsageError("a test imports pyinfra_cli: run it by tests/unit/forked.py")


@pytest.fixture(autouse=True)
def _privileges_are_enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    # The proof is tested on the stand-in and on a real server, which have permissions.
    monkeypatch.setattr(isolation, "prove", lambda client, method: "Proven.")


@pytest.fixture(autouse=True)
def _requests_are_sent_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    # A fake in memory answers at once: threads would take as long again.
    monkeypatch.setattr(api, "_MOST_AT_ONCE", 1)
