"""Log in to Infisical: as an identity, a person, or this host's deployer or administrator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from infisical_iac.agent.answers import AnswerError
from infisical_iac.agent.api import ApiClient, LoopbackClient
from infisical_iac.agent.runner import Failure, Runner, make_failure

DEPLOYER_FILE = "/etc/infisical/deployer.env"
ADMIN_FILE = "/etc/infisical/admin.env"

C = TypeVar("C", bound=ApiClient)


@dataclass(frozen=True)
class Organization:
    """An organization of the instance."""

    id: str
    name: str


class NoLogin(RuntimeError):
    """The host has no login of the kind, or one that Infisical refuses; a Failure says why."""


def parse_variables(text: str) -> dict[str, str]:
    """Return the variables of an env file; comments and lines without a value are left out."""
    pairs = (line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def universal(client: C, client_id: str, client_secret: str) -> C:
    """Log a machine identity in by universal auth.

    Raises AnswerError; its `status` is 401 for wrong credentials and for a lock-out, which another
    try would only prolong.
    """
    answer = client.post_again(
        "/api/v1/auth/universal-auth/login",
        json={"clientId": client_id, "clientSecret": client_secret},
    )
    return client.with_token(answer["accessToken"])


def password(client: C, email: str, password: str, organization_id: str | None = None) -> C:
    """Log a person in, and into one organization.

    Args:
        organization_id: which organization; None for the only one that the person is in.

    Raises AnswerError (status 400 for a wrong password), or RuntimeError with a Failure if there
    are several organizations or a second factor is demanded.
    """
    answer = client.post_again("/api/v3/auth/login", json={"email": email, "password": password})
    person = client.with_token(answer["accessToken"])
    selected = select_organization(person, organization_id or _only_organization(person, email))
    if selected.get("isMfaEnabled"):
        raise make_failure(
            "error",
            f"{email} has a second factor, which this tool can't enter",
            "turn it off for this account in Infisical",
        )
    return client.with_token(selected["token"])


def select_organization(person: ApiClient, organization: str) -> dict[str, Any]:
    """Return the answer to a person's login to an organization, which may demand a factor."""
    body = {"organizationId": organization}
    return person.post_again("/api/v3/auth/select-organization", json=body)


def own_organizations(person: ApiClient) -> list[Organization]:
    """Return the organizations of the person whose token the client has."""
    answer = person.get("/api/v1/organization")
    return [Organization(each["id"], each["name"]) for each in answer["organizations"]]


def _only_organization(person: ApiClient, email: str) -> str:
    organizations = own_organizations(person)
    if len(organizations) != 1:
        names = ", ".join(sorted(each.name for each in organizations)) or "none"
        raise make_failure(
            "error",
            f"{email} must be in exactly one organization of Infisical, and is in {names}",
            "remove it from the others" if organizations else "add it to one",
        )
    return organizations[0].id


def is_initialized(client: ApiClient) -> bool:
    """Return whether the instance has its first administrator; needs no token."""
    return bool(client.get("/api/v1/admin/config")["config"]["initialized"])


def log_in_deployer(client: C, variables: Mapping[str, str]) -> C:
    """Log in the deployer with the variables of its file. Raises NoLogin or AnswerError."""
    try:
        return universal(
            client, variables["INFISICAL_CLIENT_ID"], variables["INFISICAL_CLIENT_SECRET"]
        )
    except KeyError:
        raise _no_login(f"{DEPLOYER_FILE} holds no credentials: deploy to the host first") from None
    except AnswerError as error:
        if error.status != 401:
            raise
        raise _no_login(
            f"the credentials in {DEPLOYER_FILE} are refused: {error.message}"
        ) from None


def log_in_administrator(
    client: C, variables: Mapping[str, str], organization: str | None = None
) -> C:
    """Log in the first administrator with the variables of its file.

    Args:
        organization: as for `password`.

    Raises NoLogin, AnswerError, or what `password` raises.
    """
    email = variables.get("INFISICAL_ADMIN_EMAIL", "")
    try:
        return password(client, email, variables["INFISICAL_ADMIN_PASSWORD"], organization)
    except KeyError:
        raise _no_login(f"{ADMIN_FILE} holds no password") from None
    except AnswerError as error:
        if error.status != 400:
            raise
        raise _no_login(
            f"the instance is set up, but {email} can't log in with the password in {ADMIN_FILE}: "
            "if the password was changed in Infisical, put the new one into that file; if somebody "
            "else set up the instance and it has no data of yours, remove the stack with its "
            "volumes and run again"
        ) from None


def _no_login(sentence: str) -> NoLogin:
    return NoLogin(Failure("not_bootstrapped", sentence))


def deployer(runner: Runner, port: int) -> LoopbackClient:
    """Return a client on a port of the loopback with the deployer's token.

    Raises NoLogin, AnswerError or NoAnswer.
    """
    return log_in_deployer(LoopbackClient(port), _read(runner, DEPLOYER_FILE))


def administrator(runner: Runner, port: int, organization: str | None = None) -> LoopbackClient:
    """Return the same with the administrator's token, as `log_in_administrator` does."""
    return log_in_administrator(LoopbackClient(port), _read(runner, ADMIN_FILE), organization)


def _read(runner: Runner, path: str) -> dict[str, str]:
    return parse_variables(runner.text(path) or "")
