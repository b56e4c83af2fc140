"""Test that Docker's apt repository is trusted only with the pinned key."""

from collections.abc import Iterator

import pytest

from infisical_iac.agent.system import add_repository
from infisical_iac.core.agent import Question, perform, question
from infisical_iac.core.errors import CommandFailed
from tests.staging.host import StagingHost

_LINE = "deb [signed-by=/etc/apt/keyrings/docker.asc] https://repository.invalid/linux x stable"


def _added(fingerprint: str) -> Question[None]:
    return question(
        add_repository,
        key_url="file:///root/key.asc",
        fingerprint=fingerprint,
        key_file="/etc/apt/keyrings/docker.asc",
        list_file="/etc/apt/sources.list.d/docker.list",
        line=_LINE,
    )


@pytest.fixture
def key(deployed_host: StagingHost) -> Iterator[tuple[StagingHost, str]]:
    """The host with an armoured key at /root/key.asc, and that key's fingerprint."""
    deployed_host.run(
        "apt-get -qq install --yes --no-install-recommends gnupg && export GNUPGHOME=/root/gpg && "
        "mkdir -m 700 $GNUPGHOME && gpg --batch --quiet --passphrase '' --quick-gen-key fake && "
        "gpg --armor --export fake > /root/key.asc"
    )
    lines = deployed_host.run("gpg --show-keys --with-colons /root/key.asc").stdout.splitlines()
    yield deployed_host, next(line.split(":")[9] for line in lines if line.startswith("fpr"))
    deployed_host.run(
        "rm -rf /root/key.asc /root/gpg /root/.gnupg /etc/apt/keyrings/docker.asc "
        "/etc/apt/sources.list.d/docker.list; apt-get -qq purge --yes gnupg"
    )


def test_the_pinned_key_is_accepted(key: tuple[StagingHost, str]) -> None:
    host, fingerprint = key
    perform(_added(fingerprint), doing="add it", send=host.send)
    source = host.run("cat /etc/apt/sources.list.d/docker.list").stdout
    mode = host.run("stat -c %a /etc/apt/keyrings/docker.asc").stdout
    assert (source, mode) == (f"{_LINE}\n", "644\n")


def test_another_key_is_refused_and_nothing_is_written(key: tuple[StagingHost, str]) -> None:
    host, fingerprint = key
    other = "0" * len(fingerprint)
    with pytest.raises(CommandFailed) as refused:
        perform(_added(other), doing="add it", send=host.send)
    assert f"{fingerprint} instead of {other}" in str(refused.value)
    written = "ls /etc/apt/keyrings/docker.asc /etc/apt/sources.list.d/docker.list"
    assert host.run(written, check=False).returncode != 0
