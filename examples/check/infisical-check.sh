#!/bin/sh
# Runs `infisical-iac check` of this checkout, with the packages of requirements.lock and no others: pip
# takes each by its hash. Installed by the first run, and again where the lock has changed.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
make --silent -C "$here" install >&2
exec "$here/.venv/bin/infisical-iac" check "$@"
