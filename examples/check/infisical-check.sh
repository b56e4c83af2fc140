#!/bin/sh
# Runs `infisical-iac check` of this checkout, with only the packages of requirements.lock, each
# verified by its hash. The first run installs them, and a later one again if the lock has changed.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
make --silent -C "$here" install >&2
exec "$here/.venv/bin/infisical-iac" check "$@"
