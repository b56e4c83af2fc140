"""Run both services with their database, in the staging environment of a staging host."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from infisical_iac.workspace import local_file
from infisical_iac.workspace.local_file import find_ids
from tests.contract.postgres import Postgres
from tests.e2e.running import infisical_iac
from tests.example.infisical import ENVIRONMENT, WORKSPACE, Infisical, reach
from tests.example.install import install
from tests.example.service import Service
from tests.ports import free_port
from tests.staging.host import StagingHost

# The template of the backend's greeting.
GREETING = "Hello ${name}, welcome to ChainAlign"


class World:
    """The parts of the example: an Infisical, the GraphQL server and the HTTP service."""

    def __init__(self, infisical: Infisical):
        directory = install()
        node, python = ("node", "src/main.js"), (".venv/bin/python", "app.py")
        self.infisical = infisical
        self.backend = Service(directory / "backend", node, free_port())
        self.forecasts = Service(directory / "python-services", python, free_port())

    def sign_tokens_with(self, secret: str) -> None:
        """Store the secret by which both services sign and check tokens, in their shared folder."""
        self.infisical.store("/shared", JWT_SECRET=secret)

    def join(self, name: str) -> str:
        """Join at the backend, and return the token that it signs."""
        query = "mutation($name: String!) { join(name: $name) { token } }"
        token: str = self.backend.graphql(query, name=name)["join"]["token"]
        return token


@contextmanager
def world(host: StagingHost) -> Iterator[World]:
    """Yield the parts of the example on a deployed host; neither service has been started yet.

    At the end both services are stopped, and the stored secrets are deleted.
    """
    with ExitStack() as left:
        database = Postgres()
        left.callback(database.close)
        infisical = left.enter_context(reach(host))
        made = World(infisical)
        left.callback(infisical.clear)
        _store(made, database)
        _configure(made.backend, "backend", "/backend", infisical)
        _configure(made.forecasts, "python-service", "/python-services", infisical)
        left.callback(made.backend.stop)
        left.callback(made.forecasts.stop)
        yield made


def _store(made: World, database: Postgres) -> None:
    made.sign_tokens_with("fake-first-jwt-secret")
    made.infisical.store(
        "/backend",
        PORT=str(made.backend.port),
        DATABASE_URL=database.create_database("chainalign"),
        MAIL_GREETING=GREETING,
    )
    made.infisical.store(
        "/python-services",
        PORT=str(made.forecasts.port),
        DATABASE_URL=database.create_database("forecasts"),
        FORECAST_OPTIONS='{"model": "demand-v2", "horizon": 28}',
    )


def _configure(service: Service, name: str, folder: str, infisical: Infisical) -> None:
    """Give a service its credentials, and the file with Infisical's address."""
    found = find_ids(infisical.layout, WORKSPACE, name)
    known = found._replace(domain=infisical.address, folder=folder)
    local_file.write(service.directory, known)
    show = ("credentials", "show", name, "--env", ENVIRONMENT)
    shown = infisical_iac(infisical.host.name, *show)
    assert shown.returncode == 0, shown.stderr
    file = service.directory / ".env.local"
    file.touch(mode=0o600)
    file.write_text(shown.stdout)
