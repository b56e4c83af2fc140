"""`python -m tests.e2e`: build or load all images that these tests need."""

import sys

from tests.e2e.upgrading import older_postgres
from tests.staging import engine, stack
from tests.staging.host import host_image
from tests.staging.shell import StagingError

try:
    engine.ensure()
    stack.ensure()
    host_image("trixie")
    host_image("bookworm")
    older_postgres()
except StagingError as error:
    sys.exit(f"error: {error}")
