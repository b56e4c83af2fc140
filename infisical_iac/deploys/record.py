"""The run itself, kept on the host for whoever asks later."""

from pyinfra.api.deploy import deploy

from infisical_iac.core.record import ended


@deploy("Audit")
def record() -> None:
    """Write what the run has changed into the audit log."""
    ended(name="Record what the run changed")
