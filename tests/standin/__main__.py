"""Start the server: check the environment, migrate, open the root key, listen."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time

import psycopg
import uvicorn

from . import routes
from .app import make_app
from .config import Config, MissingSettings
from .crypto import WrongKey, open_root_key
from .database import Database
from .instance import stored_settings
from .mail import Mailer
from .migrations import migrate, wait_for_turn
from .redis_gate import wait_at_start
from .web import Server

log = logging.getLogger("standin")
INVALID_ENVIRONMENT = 255
FAILED = 1


def main() -> int:
    """Serve until SIGTERM; return the exit code."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        config = Config.from_environment(os.environ)
    except MissingSettings as error:
        log.error("%s", error)
        return INVALID_ENVIRONMENT
    # The real server spends half of its start before it connects to the database, half after.
    time.sleep(config.start_seconds / 2)
    database = Database(config.database_uri, config.database_root_cert)
    try:
        with database.transaction() as store:
            wait_for_turn(store)
            migrate(store)
            stored_settings(store)
    except psycopg.Error as error:
        log.error("Boot up migration failed: %s", type(error).__name__)
        return FAILED
    time.sleep(config.start_seconds / 2)
    try:
        wait_at_start(config.redis)
    except TimeoutError as error:
        log.error("%s", error)
        return FAILED
    try:
        with database.transaction() as store:
            wait_for_turn(store)
            cipher = open_root_key(store, config.encryption_key)
    except WrongKey as error:
        log.error("%s", error)
        return FAILED
    routes.load()
    Mailer(config.mail).check()
    serve(Server(config, database, cipher))
    return 0


def serve(server: Server) -> None:
    log.info("stand-in for Infisical listens on port %s", server.config.port)
    uvicorn.run(
        make_app(server),
        host=server.config.host,
        port=server.config.port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    sys.exit(main())
