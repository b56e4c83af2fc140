"""The only error of this package, and the message of each code."""

from __future__ import annotations

from typing import Final, Literal

Code = Literal[
    "not_configured",
    "refused",
    "refused_before",
    "locked",
    "login_needed",
    "forbidden",
    "not_found",
    "hidden",
    "empty",
    "not_infisical",
    "unreachable",
    "deadline",
    "server",
    "rate_limited",
    "missing",
    "invalid",
]

TRY_AGAIN_LATER: Final = 75
REFUSED: Final = 77
TO_BE_PUT_RIGHT: Final = 78

# A status of HTTP.
NOT_FOUND: Final = 404
SERVER_ERROR: Final = 500

_LATER = {"unreachable", "deadline", "server", "rate_limited"}
_REFUSALS = {"refused", "refused_before", "locked", "login_needed", "forbidden", "hidden"}

# The messages by code. `not_configured` has a message for each missing or malformed item instead.
TEXTS: Final[dict[Code, str]] = {
    "refused": "{address} refused the client id and secret of {client_id}: they are wrong, used up"
    " or revoked; get new ones with `infisical-iac credentials show`",
    "refused_before": "{address} refused the client id and secret of {client_id} {ago} ago, so"
    " they are not tried again for {left}: get new ones with `infisical-iac credentials show`, or"
    " delete {file}",
    "locked": "{address} has locked the login of {client_id} after too many wrong client secrets:"
    " put the right one in place and wait five minutes",
    "forbidden": "{address} does not let this identity read {environment} {folder} in project"
    " {project}: check its privileges with `infisical-iac workspace plan`; with"
    ' `isolation = "projects"`, commit and deploy the .infisical.json that'
    " `infisical-iac check REPO --fix` writes",
    "not_found": "{address} has no {environment} {folder} in project {project}: check"
    " INFISICAL_ENVIRONMENT or NODE_ENV, and .infisical.json; with"
    ' `isolation = "projects"`, commit and deploy the .infisical.json that'
    " `infisical-iac check REPO --fix` writes",
    "hidden": "{address} hides the values of {names} in {environment} {folder}: give the identity"
    " the permission readValue",
    "empty": "{address} shows no secret in {environment} {folder}: this identity may read another"
    " environment or folder; check INFISICAL_ENVIRONMENT or NODE_ENV, and .infisical.json",
    "not_infisical": "{address} does not answer as Infisical does: check the address in"
    " .infisical.json",
    "unreachable": "{address} can't be reached: check that it runs and that this machine may"
    " connect to it{tunnel}",
    "deadline": "{address} did not answer within {timeout} s: check that it runs, or give more"
    " time",
    "server": "{address} answers {status}: read its log, and start again once it is healthy",
    "rate_limited": "{address} has received too many requests (429): start again later",
    "missing": "{names} missing in {environment} {folder} of {address} and in the environment: add"
    " the secrets, or set the variables",
    "invalid": "{problems} in {environment} {folder} of {address}: correct the values",
    "login_needed": "the login of {person} at {address} has ended: run `with-secrets login` again",
}

# The messages that differ for a person, who has no client secret and sees no project file.
PERSON_TEXTS: Final[dict[Code, str]] = {
    "locked": "{address} has locked the account of {person} after wrong codes: wait an hour, or"
    " reset the password",
    "forbidden": "{address} does not let {person} read {environment} {folder} in project {project}:"
    " ask for access to it, or read another environment with `--env`",
    "not_found": "{address} has no {environment} {folder} in project {project} for {person}: check"
    " `--env` and .infisical.json",
    "hidden": "{address} hides the values of {names} in {environment} {folder} from {person}: ask"
    " for the right to read values there",
    "empty": "{address} shows {person} no secret in {environment} {folder}: ask for access to it,"
    " or read another environment with `--env`",
}

# The message of `refused` for an identity that logs in by tokens.
TOKEN_REFUSED: Final = (
    "{address} refused the token of {client_id}: {reason}: compare the token's claims with `auth`"
    " in the project file"
)

# The message of `server` for a login by tokens, at which Infisical asks the issuer.
LOGIN_FAILED: Final = (
    "{address} answers {status} to the token of {client_id}: check that Infisical can resolve and"
    " reach the token's issuer, and that the token has a subject and an audience; else read the log"
    " of Infisical"
)

# The message of `unreachable` for a refusal that is not Infisical's own.
IN_PLACE_OF: Final = (
    "{address} can't be reached: something in place of Infisical answers {status}, such as a proxy"
    " or firewall that is closed to this network: connect to the VPN, or let this machine in"
)

# The same for status 404, such as that of an ingress with no Infisical behind it at the moment.
ABSENT: Final = (
    "{address} can't be reached: something in place of Infisical answers 404: check the address in"
    " .infisical.json, and that Infisical runs behind it"
)

# The message of `unreachable` for an untrusted certificate.
UNTRUSTED: Final = (
    "{address} can't be reached: its certificate is not trusted ({why}); if the authority is your"
    " own, name its file in {variable}"
)

# Where there is no domain, services reach the host through a tunnel.
TUNNEL: Final = "; on another machine, open the SSH tunnel to the host first"


class ConfigError(Exception):
    """The configuration could not be loaded; the message has the cause, the place and the remedy.

    It never contains a secret's value.

    Attributes:
        code: the cause, for programs.
        exit_code: the status to end a process with: 75 to try again later, 77 refused, 78 if a
            person has to correct something.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(code, message)
        self.code: Code = code
        self.message = message

    def __str__(self) -> str:
        return self.message

    @property
    def exit_code(self) -> int:
        if self.code in _LATER:
            return TRY_AGAIN_LATER
        return REFUSED if self.code in _REFUSALS else TO_BE_PUT_RIGHT
