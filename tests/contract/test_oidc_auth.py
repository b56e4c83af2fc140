"""Test the login of identities with tokens of an issuer, with real signatures."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, Unreachable
from infisical_iac.workspace.oidc import OidcClaims, oidc_fields, oidc_path, read_oidc
from tests.token_issuer import TokenIssuer, new_ec_key, new_rsa_key

from .projects import Projects, on
from .world import ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infisical_iac.workspace.model import Isolation

    from .world import World

pytestmark = pytest.mark.real

_SUBJECT = "repo:acme/api:environment:production"
_CLAIMS: dict[str, Any] = {"repository": "acme/api", "environment": "production"}
_ALL_OF_IT: dict[str, Any] = {"sub": _SUBJECT, **_CLAIMS}
_DAY = 86_400


@pytest.fixture
def published(issuer: TokenIssuer) -> Iterator[TokenIssuer]:
    """The issuer, which has its key again after the test."""
    keys = dict(issuer.keys)
    yield issuer
    issuer.keys = keys
    issuer.let_go()


def _identity(world: World, issuer: TokenIssuer, **changes: Any) -> str:
    """Make an identity that logs in by the issuer's tokens, and return its id."""
    body = {"name": "pipeline", "organizationId": world.org_id, "role": "no-access"}
    id: str = ok(world.admin.post("/api/v1/identities", json=body))["identity"]["id"]
    claims = OidcClaims(
        issuer.url, "infisical", _SUBJECT, _CLAIMS, issuer.url, issuer.authority
    )._replace(**changes)
    fields = oidc_fields(claims, 600, 1200)
    fields["accessTokenTrustedIps"] = [{"ipAddress": each} for each in ("0.0.0.0/0", "::/0")]
    ok(world.deployer.post("/".join(oidc_path(id)), json=fields))
    return id


@pytest.fixture(scope="module")
def identity(world: World, issuer: TokenIssuer) -> str:
    return _identity(world, issuer)


def _log_in(world: World, identity: str, token: str) -> httpx.Response:
    body = {"identityId": identity, "jwt": token}
    with world.standin.client() as client:
        return client.post("/api/v1/auth/oidc-auth/login", json=body)


def test_a_valid_token_logs_in_for_the_lifetime_of_the_project_file(
    world: World, issuer: TokenIssuer, identity: str
) -> None:
    answer = ok(_log_in(world, identity, issuer.token(**_ALL_OF_IT)))
    assert (answer["expiresIn"], answer["accessTokenMaxTTL"]) == (600, 1200)
    details = world.standin.client(answer["accessToken"]).get("/api/v1/identities/details")
    assert ok(details)["identityDetails"]["organization"]["id"] == world.org_id


def test_a_token_signed_by_an_elliptic_curve_logs_in(
    world: World, published: TokenIssuer, identity: str
) -> None:
    published.rotate(new_ec_key(), "curve")
    assert _log_in(world, identity, published.token(**_ALL_OF_IT)).status_code == 200


_NOW = int(time.time())


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"aud": "https://github.com/acme"}, 401, "audience not allowed"),
        ({"sub": "repo:acme/api:ref:refs/heads/main"}, 403, "subject not allowed"),
        ({"iss": "https://issuer.example.com"}, 401, "jwt issuer invalid"),
        ({"iss": None}, 401, "jwt issuer invalid"),
        ({"exp": _NOW - _DAY}, 401, "jwt expired"),
        ({"nbf": _NOW + _DAY}, 401, "jwt not active"),
        ({"repository": "acme/other"}, 401, "claim not allowed"),
        ({"environment": None}, 401, "no environment field"),
        ({"header": {"alg": "none"}}, 401, "jwt signature is required"),
        ({"header": {"alg": "none", "kid": None}}, 401, "jwt signature is required"),
        ({"header": {"alg": "HS256"}}, 401, "invalid algorithm"),
        ({"header": {"kid": "unknown"}}, 401, "'unknown' was not found"),
        ({"key": new_rsa_key()}, 401, "invalid signature"),
        ({"key": new_rsa_key(), "header": {"kid": None}}, 401, "invalid signature"),
        # The real server answers so, because its comparison of claims throws an error.
        ({"aud": None}, 500, "Something went wrong"),
        ({"sub": None}, 500, "Something went wrong"),
    ],
)
def test_a_token_is_refused(
    world: World,
    issuer: TokenIssuer,
    identity: str,
    changes: dict[str, Any],
    status: int,
    words: str,
) -> None:
    answer = _log_in(world, identity, issuer.token(**{**_ALL_OF_IT, **changes}))
    assert (answer.status_code, words in answer.text) == (status, True), answer.text


def test_a_malformed_token_is_refused(world: World, identity: str) -> None:
    assert _log_in(world, identity, "not-a-token").status_code == 401


def test_rotated_signing_keys_are_accepted_at_once_and_former_keys_refused(
    world: World, published: TokenIssuer, identity: str
) -> None:
    former = published.token(**_ALL_OF_IT)
    published.rotate(new_rsa_key())
    assert _log_in(world, identity, published.token(**_ALL_OF_IT)).status_code == 200
    refused = _log_in(world, identity, former)
    assert (refused.status_code, "'one' was not found" in refused.text) == (401, True)


def test_a_token_for_several_audiences_needs_one_of_them(
    world: World, issuer: TokenIssuer, identity: str
) -> None:
    for audiences, status in ((["other", "infisical"], 200), (["other"], 401)):
        token = issuer.token(**_ALL_OF_IT, aud=audiences)
        assert _log_in(world, identity, token).status_code == status


@pytest.mark.parametrize(
    ("subject", "given", "status"),
    [
        ("repo:acme/api:*", "repo:acme/api:ref:refs/heads/main", 200),
        ("repo:acme/*", "repo:acme/api:ref:refs/heads/main", 200),
        ("repo:acme/*:environment:production", "repo:acme/api:environment:production", 200),
        ("repo:acme/api:*", "repo:acme/other:ref:refs/heads/main", 403),
        ("repo:acme/ap?", "repo:acme/api", 200),
        ("repo:acme/ap?", "repo:acme/apis", 403),
        ("repo:acme/api", "repo:acme/api:environment:production", 403),
    ],
)
def test_a_wildcard_in_the_subject_admits_its_matches_only(
    world: World, issuer: TokenIssuer, subject: str, given: str, status: int
) -> None:
    wide = _identity(world, issuer, subject=subject, claims={})
    assert _log_in(world, wide, issuer.token(sub=given)).status_code == status


def test_an_issuer_with_a_certificate_of_an_unknown_authority_is_refused(
    world: World, issuer: TokenIssuer
) -> None:
    distrustful = _identity(world, issuer, authority="")
    refused = _log_in(world, distrustful, issuer.token(**_ALL_OF_IT))
    assert (refused.status_code, "discovery document" in refused.text) == (401, True)


def test_a_login_with_a_hanging_issuer_ends_after_the_timeout(
    world: World, published: TokenIssuer, identity: str
) -> None:
    token = published.token(**_ALL_OF_IT)
    published.hang()
    began = time.monotonic()
    with Client(world.standin.url) as client:
        client._timeout = httpx.Timeout(2.0)
        with pytest.raises(Unreachable, match="issuer"):
            login.oidc(client, identity, token)
    assert time.monotonic() - began < 10


def test_an_issuer_whose_name_does_not_resolve_is_reported(
    world: World, issuer: TokenIssuer
) -> None:
    """The server answers as if it failed itself."""
    path = "/".join(oidc_path(_identity(world, issuer)))
    own = world.deployer_identity
    with Client(world.standin.url) as anyone:
        deployer = login.universal(anyone, own.client_id, own.client_secret)
        with pytest.raises(ApiError) as failed:
            deployer.patch(path, json={"oidcDiscoveryUrl": "https://issuer.invalid"})
    assert (failed.value.status, failed.value.code) == (500, "api.issuer")
    assert "https://issuer.invalid" in str(failed.value)


def test_an_identity_without_oidc_auth_and_an_unknown_one_are_not_found(
    world: World, issuer: TokenIssuer
) -> None:
    token = issuer.token(**_ALL_OF_IT)
    for id in (world.deployer_identity.id, "00000000-0000-0000-0000-000000000000"):
        assert _log_in(world, id, token).status_code == 404


def test_a_refused_login_says_why_and_never_shows_the_token(
    world: World, issuer: TokenIssuer, identity: str
) -> None:
    token = issuer.token(**{**_ALL_OF_IT, "sub": "somebody"})
    with Client(world.standin.url) as client, pytest.raises(ApiError) as refused:
        login.oidc(client, identity, token)
    assert refused.value.status == 403
    assert token not in str(refused.value)


def _file(issuer: TokenIssuer) -> dict[str, Any]:
    auth = {"issuer": issuer.url, "subject": _SUBJECT, "ca_certificate": issuer.authority}
    return {
        "project": {"name": "Pipelines", "slug": "pipelines"},
        "environments": [{"slug": each, "name": each.title()} for each in ("staging", "live")],
        "shared_folders": ["/shared"],
        "services": {
            "api": {
                "folder": "/api",
                "imports": ["/shared"],
                "auth": {"live": {"oidc": {**auth, "subject": "system:serviceaccount:live:api"}}},
            },
            "web": {"folder": "/web"},
        },
        "ci": {
            "check": {"sees": "names", "auth": {"oidc": auth}},
            "build": {"sees": {"live": ["/api"]}, "auth": {"oidc": {**auth, "claims": _CLAIMS}}},
        },
    }


@pytest.fixture(params=["privilege", "viewer", "projects"])
def project(
    request: pytest.FixtureRequest, world: World, issuer: TokenIssuer
) -> Iterator[Projects]:
    isolation: Isolation = request.param
    with on(world, isolation) as made:
        made.content = _file(issuer)
        yield made


def _place(made: Projects, folder: str, stage: str) -> dict[str, str]:
    owner = folder if folder == "/shared" else folder.removeprefix("/")
    if made.isolation == "projects":
        return made.at(f"{owner}.{stage}")
    (only,) = made.projects()
    return {"projectId": only["id"], "environment": stage, "secretPath": folder}


def _seen(client: Client, place: dict[str, str], **query: str) -> list[tuple[str, bool]] | int:
    try:
        listed = client.get("/api/v4/secrets", params={**place, **query})["secrets"]
    except ApiError as error:
        return error.status
    return [(each["secretKey"], each["secretValue"] == "fake") for each in listed]


def test_jobs_and_services_log_in_with_tokens_and_see_what_the_file_says(
    project: Projects, issuer: TokenIssuer
) -> None:
    project.apply()
    assert project.plan().due == []
    assert project.foreign() == []
    for folder in ("/api", "/web", "/shared"):
        for stage in ("staging", "live"):
            body = {**_place(project, folder, stage), "secretValue": "fake"}
            project.deployer.post(f"/api/v4/secrets/KEY_OF_{folder[1:].upper()}", json=body)

    def client(name: str, **claims: Any) -> Client:
        token = issuer.token(**{"sub": _SUBJECT, **claims})
        return login.oidc(project.anyone, project.memory.identities[name], token)

    check, build = client("ci-check"), client("ci-build", **_CLAIMS)
    api = client("api-live", sub="system:serviceaccount:live:api")
    for stage in ("staging", "live"):
        for folder in ("/api", "/web", "/shared"):
            place = _place(project, folder, stage)
            key = f"KEY_OF_{folder[1:].upper()}"
            assert _seen(check, place, viewSecretValue="false") == [(key, False)]
            # With values the server answers names alone, or refuses.
            assert _seen(check, place) in ([(key, False)], 403)
            reads = (folder in ("/api", "/shared") and stage == "live") or (
                project.isolation == "viewer"
            )
            for reader in (build, api):
                found = _seen(reader, place)
                assert found == [(key, True)] if reads else found in ([], 403)


def test_a_changed_claim_is_drift_and_the_next_run_corrects_it(project: Projects) -> None:
    project.apply()
    path = "/".join(oidc_path(project.memory.identities["ci-check"]))
    for field in (
        {"boundSubject": "repo:acme/*"},
        {"boundAudiences": ""},
        {"boundClaims": {"repository": "acme/other"}},
        {"accessTokenTTL": 3600, "accessTokenMaxTTL": 86_400},
        {"claimMetadataMapping": {"sub": "sub"}},
    ):
        project.deployer.patch(path, json=field)
        (due,) = project.plan().due
        assert due.what == "oidc-auth of ci-check"
        project.apply()
        assert project.plan().due == []


def test_a_job_removed_from_the_file_is_planned_and_pruned(project: Projects) -> None:
    project.apply()
    del project.content["ci"]["check"]
    left = [each.what for each in project.plan().foreign]
    assert left
    assert all("ci-check" in each for each in left)
    project.apply(prune=True)
    assert project.foreign() == []
    names = {each["identity"]["name"] for each in _listed(project)}
    assert {"ci-check", "ci-build"} & names == {"ci-build"}


def _listed(made: Projects) -> list[Any]:
    answer = made.deployer.get(
        "/api/v1/identities", params={"orgId": made.organization, "limit": 100}
    )
    return list(answer["identities"])


def test_a_client_secret_is_pruned_once_tokens_have_replaced_it(project: Projects) -> None:
    auth = project.content["services"]["api"].pop("auth")
    project.apply()
    project.content["services"]["api"]["auth"] = auth
    assert [each.what for each in project.apply()] == ["oidc-auth of api-live"]
    assert project.foreign() == ["universal-auth of api-live"]
    project.apply(prune=True)
    id = project.memory.identities["api-live"]
    assert project.foreign() == []
    assert read_oidc(project.deployer, id) is not None
