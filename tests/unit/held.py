"""A service, its credential, and the text of the credential's file, for tests."""

from infisical_iac.workspace.credential_file import Credential, render
from infisical_iac.workspace.load import load

_FILE = (
    "project: {name: ChainAlign, slug: chainalign}\n"
    "environments: [{slug: production, name: Production}]\n"
    "services: {backend: {folder: /backend}}\n"
)
DESIRED = load(_FILE)
DELIVERED = load(
    _FILE.replace(
        "/backend}", "/backend, deliver: {production: {file: {host: app-1, path: /srv/env}}}}"
    )
)
(ACCOUNT,) = DESIRED.accounts()
HELD = Credential("production", "client-1", "secret-1", "fake-secret")
TEXT_HELD = render(HELD)
# The same file as former releases wrote it, without INFISICAL_ENVIRONMENT.
TEXT_BEFORE = TEXT_HELD.replace("INFISICAL_ENVIRONMENT=production\n", "")
