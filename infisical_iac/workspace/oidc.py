"""Read the section `auth` of the project file: login with tokens that a platform signs.

The short forms for GitHub, GitLab and Kubernetes are expanded to an issuer, an audience and exact
claims. The server compares these with the claims of a token. It also accepts globs, so a claim with
a wildcard admits more than its text: `warn` reports such claims.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    StrictStr,
    model_validator,
)

from infisical_iac.agent.identities import ANY_ADDRESS, read_field
from infisical_iac.api.client import Client
from infisical_iac.core.validation import fitting, is_confidential, matching

METHOD = "oidc-auth"
# The audience of the short forms: a token for Infisical is valid nowhere else.
AUDIENCE = "infisical"
GITHUB = "https://token.actions.githubusercontent.com"
_GITLAB = "https://gitlab.com"
_FORMS = ("github", "gitlab", "kubernetes", "oidc")
# Characters with a special meaning to picomatch, by which the server compares claims.
_GLOB = re.compile(r"[*?\[\]{}()!\\|]")
_LONGEST = 255


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:  # a bracket of IPv6 that does not end
        parts = urlsplit("")
    if not parts.hostname or not is_confidential(value) or parts.username or parts.query:
        raise ValueError(f"{value!r} is not an issuer; write https:// and the name of its server")
    return value


def _certificate(value: str) -> str:
    if "-----BEGIN CERTIFICATE-----" not in value:
        raise ValueError("this is no certificate; write its text in PEM, after a |")
    return value.strip()


def _is_claim(value: str) -> bool:
    return 0 < len(value) <= _LONGEST and value == value.strip() and value.isprintable()


_Issuer = Annotated[StrictStr, AfterValidator(_address)]
_Text = Annotated[
    StrictStr,
    fitting(
        lambda value: _is_claim(value) and "," not in value,
        f"is not the value of a claim; write 1 to {_LONGEST} printable characters without a comma, "
        "since the server splits there",
    ),
]
_Key = Annotated[
    StrictStr,
    fitting(lambda value: _is_claim(value), "is not the name of a claim; write it as in the token"),
]
_Certificate = Annotated[StrictStr, AfterValidator(_certificate)]
_Repository = Annotated[
    StrictStr,
    matching(
        r"[A-Za-z0-9_.*-]+/[A-Za-z0-9_.*-]+", "is not a repository; write one such as acme/api"
    ),
]
_Project = Annotated[
    StrictStr,
    matching(
        r"[A-Za-z0-9_.*-]+(/[A-Za-z0-9_.*-]+)+", "is not a project; write its path such as acme/api"
    ),
]


class OidcClaims(NamedTuple):
    """The claims of a token that logs an identity in.

    Attributes:
        issuer: compared exactly.
        subject: empty if every subject is accepted.
        claims: further claims, each with one value.
        discovery: the address below which the server finds the issuer's keys.
        authority: a certificate in PEM, of the authority of the issuer's server; empty for a
            public one.
    """

    issuer: str
    audience: str
    subject: str
    claims: Mapping[str, str]
    discovery: str
    authority: str = ""

    def __str__(self) -> str:
        named = {"issuer": self.issuer, "audience": self.audience, "subject": self.subject}
        said = {**named, **self.claims}
        return ", ".join(f"{key} {value}" for key, value in said.items() if value)

    @property
    def data(self) -> dict[str, Any]:
        """Return the claims as data for JSON."""
        names = ("issuer", "audience", "subject")
        return {name: getattr(self, name) for name in names} | {"claims": dict(self.claims)}

    @property
    def globs(self) -> list[tuple[str, str]]:
        """Return names and values of the claims that contain a wildcard."""
        named = {"audience": self.audience, "subject": self.subject, **self.claims}
        return [(key, value) for key, value in named.items() if _GLOB.search(value)]


class _AuthEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GitHubAuth(_AuthEntry):
    """A workflow of GitHub Actions in a repository, limited to an environment, a branch or both."""

    repository: _Repository
    environment: _Text | None = None
    ref: _Text | None = None
    workflow: _Text | None = None
    server: _Issuer | None = None
    audience: _Text = AUDIENCE

    def expand(self) -> OidcClaims:
        issuer = f"{self.server.rstrip('/')}/_services/token" if self.server else GITHUB
        ref = self.ref
        claims = {
            "repository": self.repository,
            "environment": self.environment,
            "ref": ref if ref is None or ref.startswith("refs/") else f"refs/heads/{ref}",
            "job_workflow_ref": self.workflow,
        }
        return OidcClaims(issuer, self.audience, "", _only_given(claims), issuer)

    @property
    def is_wide(self) -> bool:
        """Return whether a token of any branch will do."""
        return not (self.environment or self.ref or self.workflow)


class GitLabAuth(_AuthEntry):
    """A job of a GitLab project, limited to a branch, a tag, an environment or protected refs."""

    project: _Project
    ref: _Text | None = None
    tag: _Text | None = None
    environment: _Text | None = None
    protected: StrictBool = False
    server: _Issuer = _GITLAB
    audience: _Text = AUDIENCE

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.ref and self.tag:
            raise ValueError("write either a ref, which is a branch, or a tag here")
        return self

    def expand(self) -> OidcClaims:
        kind = "branch" if self.ref else "tag" if self.tag else None
        claims = {
            "project_path": self.project,
            "ref": self.ref or self.tag,
            "ref_type": kind,
            "environment": self.environment,
            "ref_protected": "true" if self.protected else None,
        }
        issuer = self.server.rstrip("/")
        return OidcClaims(issuer, self.audience, "", _only_given(claims), issuer)

    @property
    def is_wide(self) -> bool:
        """Return whether a token of any branch will do."""
        return not (self.environment or self.ref or self.tag or self.protected)


class KubernetesAuth(_AuthEntry):
    """A pod with a service account, in a cluster whose issuer the server can reach."""

    namespace: _Text
    service_account: _Text
    issuer: _Issuer
    audience: _Text = AUDIENCE
    ca_certificate: _Certificate = ""

    def expand(self) -> OidcClaims:
        subject = f"system:serviceaccount:{self.namespace}:{self.service_account}"
        place = self.issuer.rstrip("/")
        return OidcClaims(self.issuer, self.audience, subject, {}, place, self.ca_certificate)


class OidcAuth(_AuthEntry):
    """Any other issuer, with the subject or claims of its tokens."""

    issuer: _Issuer
    audience: _Text = AUDIENCE
    subject: _Text | None = None
    claims: dict[_Key, _Text] = {}
    discovery: _Issuer | None = None
    ca_certificate: _Certificate = ""

    @model_validator(mode="after")
    def _is_narrow(self) -> Self:
        if not self.subject and not self.claims:
            raise ValueError(
                "each token of this issuer would log in; name the subject, or claims, of yours"
            )
        return self

    def expand(self) -> OidcClaims:
        place = (self.discovery or self.issuer).rstrip("/")
        return OidcClaims(
            self.issuer,
            self.audience,
            self.subject or "",
            dict(self.claims),
            place,
            self.ca_certificate,
        )


def _only_given(claims: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in claims.items() if value is not None}


class LoginMethod(_AuthEntry):
    """The login method of an identity: one of these forms, or universal auth if none is given."""

    oidc: OidcAuth | None = None
    github: GitHubAuth | None = None
    gitlab: GitLabAuth | None = None
    kubernetes: KubernetesAuth | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(getattr(self, name) is not None for name in _FORMS) > 1:
            raise ValueError("write only one of github, gitlab, kubernetes and oidc here")
        return self

    @property
    def claims(self) -> OidcClaims | None:
        """Return the claims that a token must have; None for universal auth."""
        form = self.oidc or self.github or self.gitlab or self.kubernetes
        return form.expand() if form else None

    @property
    def is_wide(self) -> bool:
        """Return whether tokens of every branch of a repository are accepted."""
        form = self.github or self.gitlab
        return form is not None and form.is_wide


def _method(value: Any) -> Any:
    if value == "universal":
        return {}
    if not isinstance(value, dict) or not value:
        raise ValueError("write universal, or one of github, gitlab, kubernetes and oidc here")
    # A form with nothing below it must not count as left out, which is universal auth.
    return {key: {} if key in _FORMS and form is None else form for key, form in value.items()}


def _by_environment(value: Any) -> Any:
    forms = value.items() if isinstance(value, dict) else ()
    is_bare = any(
        key in _FORMS
        and (form is None or (isinstance(form, dict) and not form.keys() <= {*_FORMS}))
        for key, form in forms
    )
    if isinstance(value, str) or is_bare:
        raise ValueError(
            "write the environment before its login method, such as `production: {github: …}`"
        )
    return value


Auth = Annotated[LoginMethod, BeforeValidator(_method)]
# Of a service's logins by environment: refuses a login without one.
BY_ENVIRONMENT = BeforeValidator(_by_environment)


def warn(name: str, method: LoginMethod, *, reads: bool) -> Iterator[str]:
    """Yield a warning for each claim that admits more tokens than it seems to.

    Args:
        name: the place in the project file, such as `ci.build`.
        reads: whether the identity reads values.
    """
    claims = method.claims
    if claims is None:
        return
    for key, value in claims.globs:
        yield f"{name}: the {key} {value!r} has a wildcard: every token that matches it can log in"
    if method.is_wide and reads:
        yield (
            f"{name}: jobs of every branch can log in and read values: name an environment or a "
            "ref, so that only its jobs can"
        )


def oidc_path(id: str) -> tuple[str, str]:
    """Return the path at which the OIDC auth of an identity is created, read and changed."""
    return (f"/api/v1/auth/{METHOD}/identities", id)


def oidc_fields(claims: OidcClaims, ttl: int, max_ttl: int) -> dict[str, Any]:
    """Return all desired fields of the OIDC auth of an identity."""
    return {
        "oidcDiscoveryUrl": claims.discovery,
        "boundIssuer": claims.issuer,
        "boundAudiences": claims.audience,
        "boundSubject": claims.subject,
        "boundClaims": dict(claims.claims),
        # A mapping would copy claims of tokens into the identity's metadata.
        "claimMetadataMapping": {},
        "caCert": claims.authority,
        "accessTokenTTL": ttl,
        "accessTokenMaxTTL": max_ttl,
        "accessTokenNumUsesLimit": 0,
        # A narrower range needs a license of Infisical.
        "accessTokenTrustedIps": ANY_ADDRESS,
    }


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "claimMetadataMapping": lambda value: value or {},
    "boundSubject": lambda value: value or "",
    "caCert": lambda value: value or "",
}


def read_oidc(client: Client, id: str) -> Mapping[str, Any] | None:
    """Return the fields of an identity's OIDC auth, None if it has none."""
    # The server answers 400, not 404, for an identity without it.
    answer = client.find("/".join(oidc_path(id)), absent=(400, 404))
    if answer is None:
        return None
    found = answer["identityOidcAuth"]
    known = oidc_fields(OidcClaims("", "", "", {}, ""), 0, 0)
    return {key: _READERS.get(key, read_field)(found[key]) for key in known if key in found}
