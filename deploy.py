"""From a bare host to a running, bootstrapped Infisical; a second run changes nothing."""

from infisical_iac.deploy import deploy

deploy()
