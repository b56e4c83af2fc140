"""Test which variables a service has without Infisical."""

import pytest

from infisical_iac.check.usage import is_given


@pytest.mark.parametrize("key", ["PORT", "GITHUB_SHA", "GITHUB_TOKEN", "INFISICAL_CLIENT_SECRET"])
def test_keys_of_the_platform_need_not_be_in_infisical(key: str) -> None:
    assert is_given(key)


@pytest.mark.parametrize("key", ["JAVA_OPTS", "SSL_CERT_FILE", "GIT_SSH_COMMAND"])
def test_keys_that_the_loaders_withhold_need_not_be_in_infisical(key: str) -> None:
    assert is_given(key)


@pytest.mark.parametrize(
    "key", ["SSH_PRIVATE_KEY", "DOCKER_PASSWORD", "GITHUB_CLIENT_SECRET", "GIT_TOKEN"]
)
def test_a_secret_does_not_count_as_the_platforms_because_of_its_first_word(key: str) -> None:
    assert not is_given(key)
