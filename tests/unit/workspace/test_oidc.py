"""Test pipelines' jobs in the project file, and logins with a platform's tokens."""

import json
from collections import Counter
from typing import Any

import pytest

from infisical_iac.core.errors import FileError
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.converge import difference
from infisical_iac.workspace.credentials import plan as plan_credentials
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Isolation
from infisical_iac.workspace.oidc import GITHUB, OidcClaims
from tests.unit.deployment import Deployment, make_deployment
from tests.unit.remembering_deployment import RememberingDeployment

_ISSUER = "https://oidc.example.com"
_KUBERNETES = {"namespace": "live", "service_account": "api", "issuer": _ISSUER}


def _file(**ci: Any) -> dict[str, Any]:
    return {
        "project": {"name": "Acme", "slug": "acme-co"},
        "environments": [{"slug": each, "name": each.title()} for each in ("staging", "live")],
        "shared_folders": ["/shared"],
        "services": {
            "api": {"folder": "/api", "imports": ["/shared"]},
            "web": {"folder": "/web"},
        },
        "ci": ci,
    }


def _text(auth: Any = "universal", sees: Any = "names", **changes: Any) -> str:
    return json.dumps({**_file(job={"sees": sees, "auth": auth}), **changes})


def _claims(auth: Any) -> OidcClaims | None:
    (job,) = load(_text(auth)).jobs()
    return job.auth


@pytest.mark.parametrize(
    ("auth", "issuer", "subject", "claims"),
    [
        ({"github": {"repository": "acme/api"}}, GITHUB, "", {"repository": "acme/api"}),
        (
            {"github": {"repository": "acme/api", "environment": "production"}},
            GITHUB,
            "",
            {"repository": "acme/api", "environment": "production"},
        ),
        (
            {"github": {"repository": "acme/api", "ref": "main", "server": "https://ghe.acme.io/"}},
            "https://ghe.acme.io/_services/token",
            "",
            {"repository": "acme/api", "ref": "refs/heads/main"},
        ),
        (
            {"github": {"repository": "acme/api", "ref": "refs/tags/v1"}},
            GITHUB,
            "",
            {"repository": "acme/api", "ref": "refs/tags/v1"},
        ),
        (
            {"github": {"repository": "acme/api", "workflow": "acme/ci/.github/x.yml@v1"}},
            GITHUB,
            "",
            {"repository": "acme/api", "job_workflow_ref": "acme/ci/.github/x.yml@v1"},
        ),
        (
            {"gitlab": {"project": "acme/team/web", "ref": "main"}},
            "https://gitlab.com",
            "",
            {"project_path": "acme/team/web", "ref": "main", "ref_type": "branch"},
        ),
        (
            {"gitlab": {"project": "acme/web", "tag": "v1", "server": "https://git.acme.io/"}},
            "https://git.acme.io",
            "",
            {"project_path": "acme/web", "ref": "v1", "ref_type": "tag"},
        ),
        ({"kubernetes": _KUBERNETES}, _ISSUER, "system:serviceaccount:live:api", {}),
        ({"oidc": {"issuer": f"{_ISSUER}/", "subject": "x"}}, f"{_ISSUER}/", "x", {}),
    ],
)
def test_a_short_form_expands_to_exact_claims(
    auth: Any, issuer: str, subject: str, claims: dict[str, str]
) -> None:
    found = _claims(auth)
    assert found is not None
    assert (found.issuer, found.audience) == (issuer, "infisical")
    assert (found.subject, found.claims) == (subject, claims)
    assert found.discovery == issuer.rstrip("/")
    assert found.globs == []


def test_universal_auth_has_no_claims_and_gets_credentials() -> None:
    desired = load(_text("universal"))
    (step,) = (each for each in plan_credentials(desired, {}, {}) if each.account in desired.jobs())
    assert (step.creates, step.account.credentials) == (True, "job.ci")


def test_a_login_by_tokens_gets_no_credentials() -> None:
    file = _file()
    file["services"]["api"]["auth"] = {"live": {"kubernetes": _KUBERNETES}}
    steps = plan_credentials(load(json.dumps(file)), {}, {})
    names = [each.account.credentials for each in steps]
    assert names == ["api.staging", "web.staging", "web.live"]


def test_a_job_sees_the_imports_of_a_folder_too() -> None:
    (job,) = load(_text(sees={"live": ["/api"]})).jobs()
    assert job.places == {"live": ("/api", "/shared")}


@pytest.mark.parametrize(
    ("auth", "sees", "words"),
    [
        ({"github": {"repository": "acme/*", "environment": "x"}}, "names", "repository 'acme/*'"),
        ({"gitlab": {"project": "acme/web", "ref": "v?"}}, "names", "ref 'v?'"),
        ({"oidc": {"issuer": _ISSUER, "subject": "a:{b}"}}, "names", "subject 'a:{b}'"),
        ({"oidc": {"issuer": _ISSUER, "subject": "!a"}}, "names", "subject '!a'"),
        ({"github": {"repository": "acme/api"}}, {"live": ["/api"]}, "every branch"),
        ({"gitlab": {"project": "acme/api"}}, {"live": ["/api"]}, "every branch"),
    ],
)
def test_a_wide_claim_gets_a_warning(auth: Any, sees: Any, words: str) -> None:
    (said,) = load(_text(auth, sees)).warnings()
    assert said.startswith("ci.job: ")
    assert words in said


@pytest.mark.parametrize(
    ("auth", "sees"),
    [
        ({"github": {"repository": "acme/api"}}, "names"),
        ({"github": {"repository": "acme/api", "ref": "main"}}, {"live": ["/api"]}),
        ({"kubernetes": _KUBERNETES}, {"live": ["/api"]}),
        ("universal", {"live": ["/api"]}),
    ],
)
def test_exact_claims_get_no_warning(auth: Any, sees: Any) -> None:
    assert load(_text(auth, sees)).warnings() == []


# Each with the project file, the place of the mistake and a fact of the message.
_MISTAKES = [
    (_text("token"), "ci.job.auth", "universal"),
    (_text({}), "ci.job.auth", "kubernetes"),
    (_text({"githb": {}}), "ci.job.auth.githb", "'github'?"),
    (_text({"github": {}}), "ci.job.auth.github", "'repository'"),
    # `github:` with nothing below it must not become a login by client secret.
    (_text({"github": None}), "ci.job.auth.github", "'repository'"),
    (_text({"oidc": None}), "ci.job.auth.oidc", "'issuer'"),
    (_text({"gitlab": {"project": "a/b", "protected": "on"}}), "gitlab.protected", "true or false"),
    (_text({"oidc": {"issuer": "https://[::1", "subject": "b"}}), "oidc.issuer", "https://"),
    (_text({"github": {"repository": "api"}}), "ci.job.auth.github.repository", "acme/api"),
    (_text({"github": {"repository": "a/b", "rf": "x"}}), "ci.job.auth.github.rf", "'ref'?"),
    (_text({"gitlab": {"project": "a/b", "ref": "c", "tag": "d"}}), "ci.job.auth.gitlab", "tag"),
    (_text({"kubernetes": {"namespace": "a", "service_account": "b"}}), "kubernetes", "kubectl"),
    (_text({"oidc": {"issuer": _ISSUER}}), "ci.job.auth.oidc", "subject"),
    (_text({"oidc": {"issuer": "http://a.io", "subject": "b"}}), "oidc.issuer", "https://"),
    (_text({"oidc": {"issuer": "https://u@a.io", "subject": "b"}}), "oidc.issuer", "https://"),
    (
        _text({"oidc": {"issuer": _ISSUER, "claims": {"a": "b,c"}}}),
        "ci.job.auth.oidc.claims.a",
        "comma",
    ),
    (_text({"oidc": {"issuer": _ISSUER, "subject": ""}}), "oidc.subject", "printable"),
    (
        _text({"oidc": {"issuer": _ISSUER, "subject": "a", "ca_certificate": "x"}}),
        "oidc.ca_certificate",
        "PEM",
    ),
    (
        _text({"github": {"repository": "a/b"}, "gitlab": {"project": "a/b"}}),
        "ci.job.auth",
        "only one",
    ),
    (_text(sees="all"), "ci.job.sees", "names"),
    (_text(sees={}), "ci.job.sees", "names"),
    (_text(sees={"live": []}), "ci.job.sees.live", "at least one"),
    (_text(sees={"prod": ["/api"]}), "ci.job.sees.prod", "live"),
    (_text(sees={"live": ["/apy"]}), "ci.job.sees.live[0]", "'/api'?"),
    (_text(ci={"job": {"sees": "names"}}), "ci.job", "'auth'"),
    (_text(ci={"job": {"auth": "universal"}}), "ci.job", "'sees'"),
    (_text(ci={"job": {"sees": "names", "auth": "universal", "x": 1}}), "ci.job.x", "unknown"),
    (
        _text(
            services={"ci": {"folder": "/ci"}}, ci={"live": {"sees": "names", "auth": "universal"}}
        ),
        "services.ci",
        "ci-live",
    ),
]


@pytest.mark.parametrize(("text", "place", "fact"), _MISTAKES)
def test_a_mistake_in_the_section_auth_is_reported_with_its_place(
    text: str, place: str, fact: str
) -> None:
    with pytest.raises(FileError) as refused:
        load(text)
    assert refused.value.code == "file.project"
    assert place in str(refused.value)
    assert fact in str(refused.value)


def test_a_target_for_a_service_without_client_secret_is_refused() -> None:
    file = _file()
    file["services"]["api"]["auth"] = {"live": {"kubernetes": _KUBERNETES}}
    file["services"]["api"]["deliver"] = {"live": {"file": {"host": "a", "path": "/b"}}}
    with pytest.raises(FileError, match=r"services\.api\.deliver\.live"):
        load(json.dumps(file))


def test_a_service_logs_in_by_tokens_in_named_environments_only() -> None:
    file = _file()
    file["services"]["api"]["auth"] = {"prod": {"kubernetes": _KUBERNETES}}
    with pytest.raises(FileError, match=r"services\.api\.auth\.prod"):
        load(json.dumps(file))


@pytest.mark.parametrize("auth", ["universal", {"kubernetes": _KUBERNETES}, {"github": None}])
def test_a_login_of_a_service_without_an_environment_is_refused(auth: Any) -> None:
    file = _file()
    file["services"]["api"]["auth"] = auth
    with pytest.raises(FileError, match=r"services\.api\.auth:.* environment"):
        load(json.dumps(file))


def test_an_environment_may_have_the_name_of_a_platform() -> None:
    file = _file()
    file["environments"].append({"slug": "github", "name": "GitHub"})
    file["services"]["api"]["auth"] = {"github": {"kubernetes": _KUBERNETES}}
    (account,) = (each for each in load(json.dumps(file)).accounts() if each.auth)
    assert account.environment == "github"


_JOBS = _file(
    check={"sees": "names", "auth": {"github": {"repository": "acme/api"}}},
    build={
        "sees": {"live": ["/api"]},
        "auth": {"github": {"repository": "acme/api", "environment": "live"}},
    },
)
_MADE = json.dumps(_JOBS)


@pytest.fixture
def deployment() -> Deployment:
    return make_deployment(_MADE)


def _lines(deployment: Deployment, text: str = _MADE) -> list[str]:
    return [str(each) for each in deployment.changes(text)]


def test_a_deploy_makes_the_identities_of_jobs_and_another_changes_nothing(
    deployment: Deployment,
) -> None:
    assert _lines(deployment) == []
    check = deployment.server.identity("ci-check")["id"]
    assert deployment.server.oidc[check]["boundClaims"] == {"repository": "acme/api"}
    assert check not in deployment.server.auths
    held = [each for each in deployment.server.privileges.values() if each["identityId"] == check]
    assert [(each["slug"], each["permissions"]) for each in held] == [
        (
            "see-names",
            [
                {
                    "subject": "secrets",
                    "action": ["describeSecret"],
                    "conditions": {"environment": {"$eq": slug}},
                }
                for slug in ("staging", "live")
            ],
        )
    ]


def test_a_plan_shows_issuer_audience_and_claims() -> None:
    (line,) = (each for each in _lines(Deployment()) if "oidc-auth of ci-build" in each)
    what, _, claims = line.partition(": ")
    assert what == "+ oidc-auth of ci-build"
    assert claims.split(", ") == [
        f"issuer {GITHUB}",
        "audience infisical",
        "repository acme/api",
        "environment live",
    ]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("boundSubject", "repo:acme/*", "boundSubject repo:acme/* → none"),
        ("boundAudiences", "", "boundAudiences none → infisical"),
        ("boundClaims", {}, "boundClaims none → repository acme/api"),
        ("boundIssuer", "https://evil.example.com", "boundIssuer https://evil.example.com → "),
        ("accessTokenTTL", 86_400, "accessTokenTTL 86400 → 1800"),
        ("claimMetadataMapping", {"a": "b"}, "claimMetadataMapping a b → none"),
    ],
)
def test_a_login_changed_by_hand_is_drift(
    deployment: Deployment, field: str, value: Any, words: str
) -> None:
    deployment.server.oidc[deployment.server.identity("ci-check")["id"]][field] = value
    (line,) = _lines(deployment)
    what, _, differs = line.partition(": ")
    assert (what, differs.startswith(words)) == ("~ oidc-auth of ci-check", True)
    deployment.deploy(_MADE)
    assert _lines(deployment) == []


def test_a_job_that_changes_from_names_to_folders_gets_another_privilege(
    deployment: Deployment,
) -> None:
    changed = {**_JOBS, "ci": {**_JOBS["ci"], "check": {**_JOBS["ci"]["check"]}}}
    changed["ci"]["check"]["sees"] = {"live": ["/web"]}
    assert deployment.deploy(json.dumps(changed)) == [
        "- privilege see-names of ci-check",
        "+ privilege read-own-folder of ci-check: /web in live",
    ]


@pytest.mark.parametrize("isolation", ["privilege", "viewer"])
def test_a_job_that_sees_names_never_has_a_reading_role(isolation: Isolation) -> None:
    deployment = Deployment()
    deployment.deploy(_MADE, isolation)
    check = deployment.server.identity("ci-check")["id"]
    assert deployment.server.members[check] == [{"role": "no-access", "isTemporary": False}]
    assert [str(each) for each in deployment.changes(_MADE, isolation)] == []


def test_a_job_removed_from_the_file_is_pruned() -> None:
    deployment = RememberingDeployment()
    deployment.apply(load(_MADE))
    left = load(json.dumps({**_JOBS, "ci": {"build": _JOBS["ci"]["build"]}}))
    assert deployment.apply(left, prune=True) == ["- identity ci-check"]
    assert deployment.plan(left, prune=True).due == []


def test_a_client_secret_that_tokens_replaced_is_pruned_with_its_file() -> None:
    deployment = RememberingDeployment()
    before = _file()
    deployment.apply(load(json.dumps(before)))
    id = deployment.server.identity("api-live")["id"]
    path = "/etc/infisical/credentials/api.live.env"
    deployment.credentials = {path: deployment.server.auths[id]["clientId"]}
    before["services"]["api"]["auth"] = {"live": {"kubernetes": _KUBERNETES}}
    desired = load(json.dumps(before))
    assert deployment.apply(desired)[0].startswith("+ oidc-auth of api-live")
    assert [each.what for each in deployment.plan(desired).foreign] == [
        "universal-auth of api-live"
    ]
    due = deployment.plan(desired, prune=True).due
    assert [f"{each.kind} {each.what}" for each in due] == [
        "- universal-auth of api-live",
        "- credentials api.live",
    ]


def test_a_converged_plan_sends_as_many_requests_for_token_logins_as_for_client_secrets() -> None:
    """It reads data, login methods and privileges of 120 identities: more than a page of a list."""
    counts = {}
    for name, auth in (("tokens", {"kubernetes": _KUBERNETES}), ("secrets", "universal")):
        file = _file()
        file["services"] = {
            f"s{number}": {
                "folder": f"/s{number}",
                "auth": dict.fromkeys(("staging", "live"), auth),
            }
            for number in range(60)
        }
        text, deployment = json.dumps(file), Deployment()
        deployment.deploy(text)
        deployment.server.requests.clear()
        goal = deployment.goal(load(text))
        assert difference(goal, read(deployment.client, goal)) == []
        counts[name] = Counter(path.split("/")[3] for _, path, _ in deployment.server.requests)
    assert counts["tokens"] == counts["secrets"]
    assert counts["tokens"]["auth"] == 120
