"""Start the server: check the environment, migrate, open the root key, listen."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
METRICS_PORT = 9464


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
    if os.environ.get("OTEL_TELEMETRY_COLLECTION_ENABLED") == "true":
        serve_metrics()
    serve(Server(config, database, cipher))
    return 0


class _Metrics(BaseHTTPRequestHandler):
    """Answers with the one metric that has no numbers, as the real server's first lines."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(
            b"# HELP target_info Target metadata\n# TYPE target_info gauge\n"
            b'target_info{service_name="infisical-core"} 1\n'
        )

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing, as the real server does."""


def serve_metrics() -> None:
    """Serve metrics in the background, as the real server does with OTEL_EXPORT_TYPE=prometheus."""
    served = ThreadingHTTPServer(("0.0.0.0", METRICS_PORT), _Metrics)
    threading.Thread(target=served.serve_forever, daemon=True).start()


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
