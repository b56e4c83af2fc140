"""Test the comparison of the keys that code reads with the names of secrets in Infisical."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from infisical_iac.check import usage
from infisical_iac.check.model import NAME, CheckFinding, judge, summarize
from infisical_iac.check.repository import Repository
from infisical_iac.cli import check
from infisical_iac.workspace.environment_contents import Names
from infisical_iac.workspace.goal import Layout
from infisical_iac.workspace.load import load
from infisical_iac.workspace.stored_secrets import read_secrets
from tests.unit.check.checked import GOOD, WORKSPACE, WORKSPACE_TEXT, plant
from tests.unit.fake_infisical import FakeInfisical
from tests.unit.fake_state import Json, Refused

_PYTHON = {"python-services/app.py": "import os\nTOKEN = os.environ['TOKEN']\n"}
_COMPOSE = """\
services:
  backend:
    build: backend
    environment: {REGION: eu, DATABASE_URL: "${DATABASE_URL}"}
"""


def _names(development: dict[str, list[str]], production: dict[str, list[str]]) -> Names:
    both = {"development": development, "production": production}
    return {(slug, folder): names for slug, each in both.items() for folder, names in each.items()}


def _find_missing(root: Path, files: dict[str, str], names: Names) -> list[CheckFinding]:
    return list(
        usage.find_missing(plant(root, GOOD | files, git=False).code_by_service, names, WORKSPACE)
    )


def _find_left_over(root: Path, files: dict[str, str], names: Names) -> list[CheckFinding]:
    repository = plant(root, GOOD | files, git=False)
    return list(
        usage.find_unused(repository.code_by_service, repository.elsewhere(), names, WORKSPACE)
    )


def _reads(*names: str) -> dict[str, str]:
    return {"backend/src/app.js": "".join(f"use(process.env.{name});\n" for name in names)}


def test_a_key_must_be_in_every_environment(tmp_path: Path) -> None:
    names = _names({"/backend": ["A", "B"]}, {"/backend": ["A"]})
    [finding] = _find_missing(tmp_path, _reads("A", "B"), names)
    assert (finding.kind, finding.place, finding.key) == (
        "missing-key",
        "backend/src/app.js:2",
        "B",
    )
    assert "backend" in finding.message
    assert " production." in finding.message
    assert "development" not in finding.message


def test_an_environment_without_any_secret_is_one_finding(tmp_path: Path) -> None:
    names = _names({"/backend": ["A"]}, {})
    files = _reads("A", "B", "C ?? 3") | _PYTHON
    found = [each for each in _find_missing(tmp_path, files, names) if not each.is_note]
    assert [(each.kind, each.key, each.place) for each in found] == [
        ("missing-key", "B", "backend/src/app.js:2"),
        ("missing-key", "TOKEN", "python-services/app.py:2"),
        ("empty-environment", "", "production"),
    ]
    assert "in development." in found[0].message
    assert "3 keys are missing for backend and python-service" in found[2].message


def test_a_service_without_secrets_in_an_environment_is_one_finding(tmp_path: Path) -> None:
    """The service may not run there. Others have secrets in that environment."""
    names = _names(
        {"/backend": ["A", "B"], "/python-services": ["TOKEN"], "/shared": ["S"]},
        {"/python-services": ["TOKEN"], "/shared": ["S"]},
    )
    files = _reads("A", "B", "S", "C ?? 3") | _PYTHON
    found = [each for each in _find_missing(tmp_path, files, names) if not each.is_note]
    assert [(each.kind, each.place) for each in found] == [("empty-folder", "production/backend")]
    assert "2 keys" in found[0].message
    judged = judge(found, {"production/backend": "it does not run there"}, ".infisical-check.yaml")
    assert (judged.findings, len(judged.accepted)) == ([], 1)


def test_each_missing_key_is_named_if_infisical_has_no_secrets(tmp_path: Path) -> None:
    kinds = [each.kind for each in _find_missing(tmp_path, _reads("A", "B"), {})]
    assert kinds == ["missing-key", "missing-key"]


def test_an_environment_that_the_login_may_not_see_is_not_reported_as_empty(tmp_path: Path) -> None:
    repository = plant(tmp_path, GOOD | _reads("A"), git=False)
    names = _names({"/backend": ["A"]}, {})
    unseen = [("production", "/backend")]
    assert list(usage.find_missing(repository.code_by_service, names, WORKSPACE, unseen)) == []


def test_imported_secrets_count_as_the_services_own(tmp_path: Path) -> None:
    names = _names({"/shared": ["A"]}, {"/backend": ["A"]})
    assert _find_missing(tmp_path, _reads("A"), names) == []


def test_secrets_of_another_service_do_not_count(tmp_path: Path) -> None:
    names = _names({"/python-services": ["A"]}, {"/python-services": ["A"]})
    assert [each.key for each in _find_missing(tmp_path, _reads("A"), names)] == ["A"]


def test_keys_from_platform_image_and_compose_file_may_be_missing(tmp_path: Path) -> None:
    image = "FROM node:24\nENV CACHE=/tmp \\\n    LEVEL=3\n"
    files = {"backend/Dockerfile": image, "compose.yaml": _COMPOSE}
    read = _reads("NODE_ENV", "INFISICAL_DOMAIN", "CACHE", "LEVEL", "REGION", "DATABASE_URL")
    assert [each.key for each in _find_missing(tmp_path, files | read, {})] == ["DATABASE_URL"]


def test_optional_keys_and_keys_of_tests_are_notes(tmp_path: Path) -> None:
    files = {
        "backend/src/app.js": "use(process.env.LEVEL ?? 3);",
        "backend/test/app.test.js": "use(process.env.TEST_URL);",
    }
    [note] = _find_missing(tmp_path, files, {})
    assert note.is_note
    assert note.place == "backend"
    assert "LEVEL, TEST_URL " in note.message


def test_a_secret_that_no_code_uses_is_left_over(tmp_path: Path) -> None:
    names = _names({"/backend": ["A", "OLD"]}, {"/backend": ["A"]})
    [finding] = _find_left_over(tmp_path, _reads("A"), names)
    assert (finding.kind, finding.place, finding.is_note) == ("left-over", "/backend/OLD", False)
    assert "backend" in finding.message
    assert "development" in finding.message
    assert "production" not in finding.message
    assert NAME in finding.message


def test_the_remedy_of_several_left_over_secrets_is_printed_once(tmp_path: Path) -> None:
    names = _names({"/backend": ["A", "OLD", "OLDER"]}, {"/backend": ["A"]})
    lines, remedies = summarize(_find_left_over(tmp_path, _reads("A"), names))
    assert [each.finding.place for each in lines] == ["/backend/OLD", "/backend/OLDER"]
    assert not any(NAME in each.text for each in lines)
    [remedy] = remedies
    assert NAME in remedy


def test_a_shared_secret_is_in_use_if_one_importer_reads_it(tmp_path: Path) -> None:
    names = _names({"/shared": ["TOKEN", "OLD"]}, {})
    found = _find_left_over(tmp_path, _reads("A") | _PYTHON, names)
    assert [each.place for each in found] == ["/shared/OLD"]


def test_a_folder_is_not_checked_if_a_service_that_reads_it_is_absent(tmp_path: Path) -> None:
    [note] = _find_left_over(tmp_path, _reads("A"), _names({"/shared": ["OLD"]}, {}))
    assert (note.kind, note.place, note.is_note) == ("not-checked", "/shared", True)
    assert "python-service" in note.message
    assert "backend" not in note.message


def test_a_folder_that_only_jobs_of_pipelines_read_is_not_checked(tmp_path: Path) -> None:
    jobs = """\
ci:
  check: {sees: names, auth: {github: {repository: acme/a}}}
  deploy:
    sees: {production: [/deploy]}
    auth: {github: {repository: acme/a, environment: production}}
"""
    workspace = load(WORKSPACE_TEXT.replace("[/shared]", "[/shared, /deploy]", 1) + jobs)
    plant(tmp_path, GOOD | _reads("A"), git=False)
    repository = Repository(tmp_path, workspace)
    names = _names({"/backend": ["A"]}, {"/deploy": ["DEPLOY_TOKEN"], "/backend": ["A", "OLD"]})
    code, words = repository.code_by_service, repository.elsewhere()
    found = list(usage.find_unused(code, words, names, workspace))
    assert [(each.kind, each.place, each.is_note) for each in found] == [
        ("left-over", "/backend/OLD", False),
        ("not-checked", "/deploy", True),
    ]
    assert "ci.deploy" in found[1].message
    assert "ci.check" not in found[1].message


def test_secrets_in_a_folder_without_a_reader_are_left_over(tmp_path: Path) -> None:
    [finding] = _find_left_over(tmp_path, _reads("A"), _names({"/": ["STRAY"]}, {}))
    assert (finding.place, finding.is_note) == ("/STRAY", False)


def test_keys_in_other_languages_or_outside_services_count_as_used(tmp_path: Path) -> None:
    files = {
        "backend/schema.prisma": 'url = env("DATABASE_URL")',
        "scripts/seed.js": "use(process.env.SEED);",
        "README.md": "OLD is no more.",
        "backend/src/app.js": "// OLD is no more",
    }
    names = _names({"/backend": ["DATABASE_URL", "SEED", "OLD"]}, {})
    assert [each.key for each in _find_left_over(tmp_path, files, names)] == ["OLD"]


def test_left_over_secrets_are_notes_if_code_computes_names(tmp_path: Path) -> None:
    code = {"backend/src/app.js": "for (const n of ['A']) use(process.env[n]);"}
    [note] = _find_left_over(tmp_path, code, _names({"/backend": ["A", "OLD"]}, {}))
    assert (note.place, note.is_note) == ("/backend/OLD", True)


def test_a_key_named_in_code_that_can_not_be_read_in_full_is_not_left_over(tmp_path: Path) -> None:
    """Such code may use the secret, so advice to delete the secret would be wrong."""
    files = {"backend/src/app.js": "use(process.env.A);\nconst = ;\nlook.up(B, `${C}`);\n"}
    names = _names({"/backend": ["A", "B", "C", "D"]}, {})
    assert [each.key for each in _find_left_over(tmp_path, files, names)] == ["D"]
    usage = plant(tmp_path, GOOD | files, git=False).code_by_service["backend"].usage
    [(path, error)] = usage.unread.items()
    assert path == "backend/src/app.js"
    assert "(line 2)" in error


def test_words_in_quotes_may_be_keys_if_code_computes_names(tmp_path: Path) -> None:
    """Types count too: `process.env[name]` with a name of type `"A" | "B"` reads both keys."""
    code = (
        "type Name = 'A' | `B`;\nfunction f(name: Name[]) { return process.env[name[0]]; } // 'C'"
    )
    names = _names({"/backend": ["A", "B", "C", "D"]}, {})
    found = _find_left_over(
        tmp_path, {"backend/src/app.ts": code, "backend/a.py": "D = 'D'"}, names
    )
    assert [each.key for each in found] == ["C"]
    assert all(each.is_note for each in found)


_UNSEEN = {("development", "/backend"), ("production", "/backend")}


def test_a_forbidden_secret_is_not_reported_as_missing(tmp_path: Path) -> None:
    """The list of a folder that the login may not see is empty."""
    held = plant(tmp_path, GOOD | _reads("A", "B"), git=False).code_by_service
    assert list(usage.find_missing(held, {}, WORKSPACE, _UNSEEN)) == []
    (finding,) = usage.find_unseen(_UNSEEN)
    assert (finding.kind, finding.place, finding.is_note) == ("not-seen", "/backend", False)
    assert "/backend" in finding.message
    assert "development and production" in finding.message


def test_a_visible_environment_is_compared_while_another_is_forbidden(tmp_path: Path) -> None:
    held = plant(tmp_path, GOOD | _reads("A", "B"), git=False).code_by_service
    names = {("production", "/backend"): ["A"]}
    (finding,) = usage.find_missing(held, names, WORKSPACE, {("development", "/backend")})
    assert (finding.kind, finding.key) == ("missing-key", "B")
    assert " production." in finding.message
    assert "development" not in finding.message


def test_only_empty_folders_that_lack_a_needed_key_are_asked_for(tmp_path: Path) -> None:
    held = plant(tmp_path, GOOD | _reads("A", "B", "PORT"), git=False).code_by_service
    names = _names({"/backend": ["A"]}, {"/backend": ["A", "B"]})
    assert list(usage.find_doubtful(held, names, WORKSPACE)) == [(("development", "/shared"), "B")]
    assert list(usage.find_doubtful(held, {}, WORKSPACE)) == [
        (("development", "/backend"), "A"),
        (("development", "/shared"), "A"),
        (("production", "/backend"), "A"),
        (("production", "/shared"), "A"),
    ]


class _Server(FakeInfisical):
    """A server with empty folders: a secret gets 404 in a folder of `may_see`, else 403."""

    def __init__(self, *may_see: tuple[str, str]) -> None:
        super().__init__()
        self.may_see = may_see
        self.asked: list[str] = []
        self.routes.append(("GET", "/v4/secrets/(.+)", self._find_secret))
        for slug in ("development", "production"):
            self.add_environment(slug)

    def _find_secret(self, query: Json, name: str) -> Json:
        assert query["viewSecretValue"] == "false"
        self.asked.append(f"{query['environment']} {query['secretPath']} {name}")
        seen = (query["environment"], query["secretPath"]) in self.may_see
        raise Refused(404, "NotFound", "no") if seen else _REFUSED


_REFUSED = Refused(403, "PermissionDenied", "no")


def _find_unseen(root: Path, server: _Server) -> set[usage.Place]:
    reached: Any = SimpleNamespace(client=server.client(), desired=WORKSPACE)
    looked = plant(root, GOOD | _reads("A"), git=False)
    layout, slugs = Layout("project-1"), [each.slug for each in WORKSPACE.environments]
    found = read_secrets(reached.client, layout, slugs, values=False)
    names = check._names(found.secrets)
    return check._find_unseen(reached, layout, looked, names, found.refused)


def test_an_empty_folder_is_distinguished_from_a_forbidden_one(tmp_path: Path) -> None:
    """As measured, a forbidden secret is 403 even if it does not exist; a missing secret is 404."""
    server = _Server(("development", "/backend"), ("development", "/shared"))
    assert _find_unseen(tmp_path, server) == {("production", "/backend"), ("production", "/shared")}
    assert "development /backend A" in server.asked


def test_all_folders_of_a_forbidden_environment_are_reported_as_not_seen(tmp_path: Path) -> None:
    everything = [
        (slug, at) for slug in ("development", "production") for at in ("/backend", "/shared")
    ]
    server = _Server(*everything)
    server.refused["production"] = _REFUSED
    assert _find_unseen(tmp_path, server) == {("production", "/backend"), ("production", "/shared")}
    assert not [each for each in server.asked if each.startswith("production")]
