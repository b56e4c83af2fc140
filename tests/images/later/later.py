"""Run the stand-in as a later release: later.py <migration> [<privileges> [<on a cluster>]].

The optional arguments choose the treatment of privileges, and the migration that a cluster's
replica makes instead of the first one.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.standin.store import Store

MIGRATIONS = {
    "adds": "ALTER TABLE secrets_v2 ADD COLUMN origin text NOT NULL DEFAULT 'typed'",
    "breaks": "ALTER TABLE secrets_v2 RENAME COLUMN data TO document",
    "fails": "ALTER TABLE secrets_v2 DROP COLUMN data; ALTER TABLE nowhere ADD COLUMN origin text",
}


def migrate(store: Store) -> None:
    """Make the migrations of this release."""
    import_module("standin.migrations").migrate(store)
    # Only a cluster's replicas have a Docker secret.
    of_cluster = sys.argv[3:] if Path("/run/secrets/env").exists() else []
    migration = of_cluster[0] if of_cluster else sys.argv[1]
    run, name = store.connection.execute, f"20261100000000_{migration}.mjs"
    if not run("SELECT FROM infisical_migrations WHERE name = %s", (name,)).fetchall():
        run(MIGRATIONS[migration])
        run("INSERT INTO infisical_migrations (name, batch) VALUES (%s, 2)", (name,))


if __name__ == "__main__":
    os.environ["STANDIN_PRIVILEGES"] = [*sys.argv, "enforced"][2]
    server = import_module("standin.__main__")
    vars(server)["migrate"] = migrate
    sys.exit(server.main())
