"""`python -m tests.e2e.locking_out_ssh …`: run pyinfra with hardening that blocks all logins."""

from infisical_iac.host import sshd_config

_desired_options = sshd_config.desired_options


def _locking_out(*args: object, **kwargs: object) -> dict[str, str]:
    options: dict[str, str] = _desired_options(*args, **kwargs)  # type: ignore[arg-type]
    return {**options, "AuthorizedKeysFile": "/nowhere"}


if __name__ == "__main__":
    # This import patches the whole process with gevent, so the tests' own process must not do it.
    from pyinfra_cli.cli import cli

    sshd_config.desired_options = _locking_out
    cli()
