"""Share a certificate authority between the tests of Infisical's own settings."""

import pytest

from tests.certificates import OwnAuthority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OwnAuthority:
    return OwnAuthority(tmp_path_factory.mktemp("authority"))
