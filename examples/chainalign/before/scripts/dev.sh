#!/usr/bin/env bash
# Run both services on this machine, with the secrets of development.
set -euo pipefail
cd "$(dirname "$0")/.."

set -a
source .env
set +a

(cd backend && npm run dev) &
(cd python-services && python app.py) &
wait
