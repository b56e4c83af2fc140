"""Test the questions of `infisical-iac init`, and that the command writes valid files."""

import errno
import json
import os
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.init_questions import ask_question
from infisical_iac.cli.main import main
from infisical_iac.core import atomic, settings
from infisical_iac.core.errors import SettingsError
from infisical_iac.host.model import MachineState
from infisical_iac.init import answers, repository
from infisical_iac.init.answers import Answers
from infisical_iac.stack import ingress_kinds
from infisical_iac.workspace.load import load
from tests.unit.migrate.trees import plant

_REPOSITORY = Path(__file__).resolve().parents[3]
_NEEDED = ("--host", "203.0.113.7", "--email", "ada@example.com")

Init = Callable[..., Result]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone of the project as it is shipped, next to two services."""
    directory = tmp_path / "acme-shop" / "infisical"
    for folder in ("group_data", "inventory", "infisical_iac"):
        (directory / folder).mkdir(parents=True)
    shutil.copy(_REPOSITORY / "group_data" / "all.py", directory / "group_data")
    for path, text in repository.files(Answers()).items():
        (directory / path).write_text(text)
    paths = ("infisical/pyproject.toml", "backend/package.json", "frontend/.env.local")
    plant(directory.parent, dict.fromkeys(paths, "TOKEN=obviously-fake-secret\n"))
    return directory


@pytest.fixture
def init(clone: Path) -> Init:
    """Run `infisical-iac init <arguments>` on the clone, with the lines of `answers` typed in."""

    def run(*arguments: str, answers: tuple[str, ...] = ()) -> Result:
        given = ["init", "--directory", str(clone), *arguments]
        return CliRunner().invoke(main, given, input="".join(f"{line}\n" for line in answers))

    return run


def _data(clone: Path) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name in ("all", "hetzner"):
        module = runpy.run_path(str(clone / "group_data" / f"{name}.py"))
        merged |= {key: value for key, value in module.items() if not key.startswith("__")}
    return merged


# The questions of a first deploy in their order, with answers that take the defaults.
_QUESTIONS = {
    "port": "",
    "user": "",
    "keep": "y",
    "domain": "none",
    "services": "",
    "organization": "",
    "project": "",
    "environments": "",
    "isolation": "",
    "chosen": "all",
    "backup": "",
    "mail": "",
    "login": "",
    "monitoring": "",
}


def _answer_all(**given: str) -> tuple[str, ...]:
    """Return the answers to all questions, except those about the host's name and the e-mail."""
    return tuple("\n".join({**_QUESTIONS, **given}.values()).split("\n"))


def _services(clone: Path) -> dict[str, str]:
    workspace = load(clone / "group_data" / "chainalign.yaml")
    return {name: service.folder for name, service in workspace.services.items()}


def _commands(ran: Result) -> list[str]:
    """Return the next commands that a run printed, in their order."""
    lines = (line for line in ran.output.splitlines() if line.startswith("    "))
    return [line.strip() for line in lines if not line.strip()[0].isdigit()]


def test_additions_go_into_the_project_file_of_a_clone_before_its_first_deploy(
    init: Init, clone: Path
) -> None:
    """The demo deploys the shipped project file, and needs none of a first deploy's answers."""
    before = (clone / "group_data" / "hetzner.py").read_text()
    ran = init("--add-service", "web=../backend", "--yes")
    assert ran.exit_code == 0, ran.output
    assert _services(clone)["web"] == "/web"
    assert (clone / "group_data" / "hetzner.py").read_text() == before
    written = json.loads((clone.parent / "backend" / ".infisical.json").read_text())
    assert written["defaultSecretPath"] == "/web"


def test_a_group_of_a_clone_is_found_by_the_inventory_variable(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("acme", "staging"):
        (clone / "inventory" / f"{name}.py").write_text("")
    found = {}
    for name in ("acme", "staging", "other"):
        monkeypatch.setenv("INFISICAL_IAC_INVENTORY", f"inventory/{name}.py")
        found[name] = repository.find_group(clone)
    # The staging host's settings are the tests' own.
    assert found == {"acme": "acme", "staging": "hetzner", "other": "hetzner"}


def test_options_answer_every_question(init: Init, clone: Path) -> None:
    ran = init(
        *_NEEDED,
        *("--ssh-user", "deploy", "--domain", "Secrets.example.com", "--organization", "ACME"),
        *("--services", "..", "--yes"),
    )
    assert ran.exit_code == 0, ran.output
    data = _data(clone)
    assert (data["ssh_hostname"], data["ssh_user"]) == ("203.0.113.7", "deploy")
    checked = settings.load(data)
    assert (checked.stack.site_url, checked.stack.ingress) == (
        "https://Secrets.example.com",
        "caddy",
    )
    assert (checked.workspace.admin_email, checked.workspace.organization) == (
        "ada@example.com",
        "ACME",
    )
    project = load(clone / "group_data" / "chainalign.yaml").project
    assert (project.name, project.slug) == ("ACME", "acme-project")
    assert _services(clone) == {"backend": "/backend", "frontend": "/frontend"}


@pytest.mark.parametrize("method", ["projects", "viewer", "privilege"])
def test_the_isolation_is_written(init: Init, clone: Path, method: str) -> None:
    ran = init(*_NEEDED, "--isolation", method, "--yes")
    assert ran.exit_code == 0, ran.output
    assert settings.load(_data(clone)).workspace.isolation == method


def test_yes_takes_the_default_of_each_option_that_is_not_given(init: Init, clone: Path) -> None:
    ran = init(*_NEEDED, "--yes")
    assert ran.exit_code == 0, ran.output
    checked = settings.load(_data(clone))
    assert (checked.stack.site_url, checked.stack.ingress) == ("http://127.0.0.1:8080", "none")
    assert checked.workspace.organization == "Acme Shop"
    project = load(clone / "group_data" / "chainalign.yaml").project
    assert (project.name, project.slug) == ("Acme Shop", "acme-shop")
    assert _commands(ran)[-2:] == ["infisical-iac plan", "infisical-iac apply"]


def test_the_organization_is_named_after_the_directory_of_the_services(
    init: Init, clone: Path, tmp_path: Path
) -> None:
    plant(tmp_path, {"big_river.ltd/api/package.json": "{}"})
    services = str(tmp_path / "big_river.ltd")
    by_option = init(*_NEEDED, "--services", services, "--yes")
    assert by_option.exit_code == 0, by_option.output
    assert settings.load(_data(clone)).workspace.organization == "Big River Ltd"
    asked = init(*_NEEDED, "--force", answers=_answer_all(services=services))
    assert asked.exit_code == 0, asked.output
    assert "[Big River Ltd]" in asked.output
    assert settings.load(_data(clone)).workspace.organization == "Big River Ltd"


def test_a_directory_without_a_name_gives_no_organization(init: Init) -> None:
    ran = init(*_NEEDED, "--services", "/", "--yes")
    assert (ran.exit_code, ran.output.startswith("Error: --organization ")) == (1, True)


def test_a_domain_needs_a_dot(init: Init, clone: Path) -> None:
    """No public authority signs a certificate for a name without a dot."""
    defaults = _data(clone)
    for domain in (
        "secrets",
        "https://secrets",
        "secrets:8443",
        "localhost",
        "secrets.",
        ".secrets",
        "http://secrets.example.com",
        "ada@example.com",
    ):
        with pytest.raises(SettingsError) as refused:
            answers.parse_domain(defaults, domain)
        what, remedy = refused.value.split()
        assert refused.value.code == "settings.domain"
        assert domain in what
        assert "secrets.example.com" in remedy
    address = "https://secrets.example.com:8443"
    assert answers.parse_domain(defaults, "secrets.example.com:8443") == address
    ran = init(*_NEEDED, "--domain", "secrets", "--yes")
    assert (ran.exit_code, ran.output.startswith("Error: --domain: 'secrets' ")) == (1, True)


@pytest.mark.parametrize("domain", ["secrets.acme.internal", "secrets.lan", "10.0.0.4"])
def test_a_domain_that_no_public_authority_certifies_gets_caddys_own(
    init: Init, clone: Path, domain: str
) -> None:
    """Otherwise the first plan refuses the settings, after its connection to the host."""
    for ran in (
        init(*_NEEDED, "--domain", domain, "--yes"),
        init(*_NEEDED, "--force", answers=_answer_all(domain=domain)),
    ):
        assert ran.exit_code == 0, ran.output
        assert "acme_ca" in ran.output
        checked = settings.load(_data(clone))
        assert checked.stack.acme_ca == "internal"
        ingress_kinds.CaddyIngress.refuse(checked, MachineState())
    assert init(*_NEEDED, "--domain", "secrets.example.com", "--yes", "--force").exit_code == 0
    assert "acme_ca" not in (clone / "group_data" / "hetzner.py").read_text()


def test_the_code_of_a_refused_option_is_kept() -> None:
    def refuse(_: str) -> str:
        raise SettingsError("it is wrong", code="settings.domain")

    with pytest.raises(SettingsError) as refused:
        ask_question({"domain": "secrets"}, True, "domain", refuse)
    assert refused.value.code == "settings.domain"


def test_a_server_to_be_created_needs_a_public_key(init: Init, clone: Path, tmp_path: Path) -> None:
    key = tmp_path / "id.pub"
    key.write_text("ssh-ed25519 AAAA me\n")
    needed = ("--host", "new", "--email", "ada@example.com", "--yes")
    missing = init(*needed, "--ssh-public-key", "none.pub")
    assert missing.exit_code == 1
    assert missing.output.startswith("Error: --ssh-public-key: ")
    assert "'none.pub'" in missing.output
    private = str(key.with_suffix(""))
    ran = init(
        *("--domain", "none", "--services", "..", "--organization", "Acme", "--project", "Acme"),
        *("--environments", "dev", "--backup", "later"),
        answers=("new", "none.pub", private, str(key), "ada@example.com", "", "all", "", "", ""),
    )
    assert ran.exit_code == 0, ran.output
    assert ran.output.count("Error: 'none.pub' ") == 1
    assert ran.output.count(f"Error: '{private}' ") == 1
    checked = settings.load(_data(clone))
    assert checked.hetzner.server_ssh_keys == (str(key),)
    assert checked.stack.ingress == "none"
    assert "ssh_hostname" not in _data(clone)
    assert "infisical-iac plan" in _commands(ran)
    create = _commands(ran).index("infisical-iac server create")
    assert create == _commands(ran).index("infisical-iac plan") - 1


def test_a_group_named_by_the_user_gets_an_inventory_and_settings(
    init: Init, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group of a host at another provider need not be called hetzner."""
    before = (clone / "group_data" / "hetzner.py").read_text()
    ran = init(*_NEEDED, "--group", "office", "--yes")
    assert ran.exit_code == 0, ran.output
    set_inventory = "export INFISICAL_IAC_INVENTORY=inventory/office.py"
    assert _commands(ran)[-3:] == [
        set_inventory,
        "infisical-iac plan",
        "infisical-iac apply",
    ]
    assert (clone / "group_data" / "hetzner.py").read_text() == before
    monkeypatch.setenv("HOME", str(clone))
    for name in ("HOST", "HOSTS", "SSH_USER", "SSH_PORT", "SSH_KEY", "DATA_VOLUME"):
        monkeypatch.delenv(f"INFISICAL_{name}", raising=False)
    inventory = runpy.run_path(str(clone / "inventory" / "office.py"))
    assert [name for name, _ in inventory["office"]] == ["203.0.113.7"]
    settings_file = (clone / "group_data" / "office.py").read_text()
    assert 'admin_email = "ada@example.com"' in settings_file
    again = init(*_NEEDED, "--group", "office", "--yes")
    assert again.exit_code == 0
    assert (clone / "group_data" / "office.py").read_text() == settings_file
    refused = init("--domain", "other.example.com", "--group", "office", "--yes")
    assert (refused.exit_code, "group_data/office.py" in refused.output) == (1, True)


@pytest.mark.parametrize(
    ("group", "code"),
    [
        ("Office", "settings.group_name"),
        ("../office", "settings.group_name"),
        ("my-office", "settings.group_name"),
        ("class", "settings.group_name"),
        ("all", "settings.group_taken"),
        ("staging", "settings.group_taken"),
    ],
)
def test_an_invalid_group_name_is_refused(init: Init, group: str, code: str) -> None:
    ran = init(*_NEEDED, "--group", group, "--yes", "--force")
    assert ran.exit_code == 1
    assert ran.output.startswith(f"Error: --group: {group!r} ")
    with pytest.raises(SettingsError) as refused:
        answers.check_group(group)
    assert refused.value.code == code


def test_a_server_to_be_made_at_hetzner_may_have_any_group(init: Init, tmp_path: Path) -> None:
    """`server create` reads the settings of the group that INFISICAL_IAC_INVENTORY names."""
    key = tmp_path / "id.pub"
    key.write_text("ssh-ed25519 AAAA me\n")
    new = ("--host", "new", "--email", "ada@example.com", "--ssh-public-key", str(key))
    ran = init(*new, "--group", "office", "--yes")
    assert ran.exit_code == 0, ran.output
    assert _commands(ran)[-5:-2] == [
        "export INFISICAL_IAC_INVENTORY=inventory/office.py",
        "export HCLOUD_TOKEN=…",
        "infisical-iac server create",
    ]


@pytest.mark.parametrize("answer", ["none", "None", "", " none "])
def test_none_as_the_domain_means_no_domain(init: Init, clone: Path, answer: str) -> None:
    """The question offers the word `none`, which must not become https://none."""
    for ran in (
        init(*_NEEDED, "--domain", answer, "--yes"),
        init(*_NEEDED, "--force", answers=_answer_all(domain=answer if answer.strip() else "\ny")),
    ):
        assert ran.exit_code == 0, ran.output
        checked = settings.load(_data(clone))
        assert (checked.stack.site_url, checked.stack.ingress) == ("http://127.0.0.1:8080", "none")
        for fact in ("site_url", "ingress", "group_data/hetzner.py"):
            assert fact in ran.output


def test_the_old_name_of_the_public_keys_option_works_and_warns(
    init: Init, clone: Path, tmp_path: Path
) -> None:
    """`--ssh-key` was misleading: `ssh_key` and INFISICAL_SSH_KEY name the private key."""
    key = tmp_path / "id.pub"
    key.write_text("ssh-ed25519 AAAA me\n")
    needed = ("--host", "new", "--email", "ada@example.com", "--yes")
    ran = init(*needed, "--ssh-key", str(key))
    assert ran.exit_code == 0, ran.output
    assert settings.load(_data(clone)).hetzner.server_ssh_keys == (str(key),)
    assert re.search(r"--ssh-key\b.*--ssh-public-key\b", ran.stderr)
    assert "--ssh-key " not in init("--help").output
    renamed = init(*needed, "--ssh-public-key", str(key), "--force")
    assert (renamed.exit_code, renamed.stderr) == (0, "")


def test_an_unanswered_question_names_its_option(init: Init) -> None:
    unanswered = init()
    assert unanswered.exit_code == 1
    assert "--host" in unanswered.stderr


def test_a_question_with_a_bad_answer_is_asked_again(init: Init, clone: Path) -> None:
    host = ("my server", "203.0.113.7", "0", "ssh", "22", "Root", "root", "perhaps", "y")
    first = (*host, "secrets", "none")
    second = ("nobody", "ada@example.com", "nowhere", "", "x" * 65, "", "y" * 65, "")
    third = ("Dev", "dev, dev", "dev prod", "", "3", "n", "y", "/backups", "later")
    ran = init(answers=(*first, *second, *third, "", "", ""))
    assert ran.exit_code == 0, ran.output
    refused = re.findall(r"Error: (.*)", ran.output)
    facts = (
        *("'my server'", "'0'", "'ssh'", "'Root'", "at 203.0.113.7", "invalid input"),
        *(
            "'secrets'",
            "'nobody'",
            "'nowhere'",
            "'xxx",
            "'yyy",
            "'Dev'",
            "'dev'",
            "'3'",
            "'/backups'",
        ),
    )
    for fact, sentence in zip(facts, refused, strict=True):
        assert fact in sentence
    assert settings.load(_data(clone)).stack.site_url == "http://127.0.0.1:8080"
    assert _services(clone) == {"frontend": "/frontend"}
    declared = load(clone / "group_data" / "chainalign.yaml")
    assert [each.slug for each in declared.environments] == ["dev", "prod"]


def test_services_are_listed_by_names_and_no_value_is_read(init: Init, clone: Path) -> None:
    ran = init(*_NEEDED, "--yes")
    assert (
        "   1  backend                  backend                          package.json" in ran.output
    )
    assert (
        "   2  frontend                 frontend                         .env.local" in ran.output
    )
    written = "".join((clone / path).read_text() for path in repository.files(Answers()))
    assert "obviously-fake-secret" not in ran.output + written


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (("--email", "ada@example.com"), "--host is missing: .*--yes"),
        ((*_NEEDED, "--host", "root@example.com"), "--host: 'root@example.com' is not a host"),
        ((*_NEEDED, "--host", "203.0.113.700"), "--host: '203.0.113.700' is not a host"),
        ((*_NEEDED, "--ssh-user", "Root"), "--ssh-user: 'Root' is not .* user"),
        ((*_NEEDED, "--domain", "example.com/a"), "--domain: 'https://example.com/a'"),
        ((*_NEEDED, "--email", "ada"), "--email: 'ada' is not .*e-mail"),
        ((*_NEEDED, "--organization", "x" * 65), "--organization: 'xxx"),
        ((*_NEEDED, "--services", "nowhere"), "--services: .*no directory 'nowhere'"),
    ],
)
def test_a_bad_option_is_refused_in_one_line_and_nothing_is_written(
    init: Init, clone: Path, options: tuple[str, ...], facts: str
) -> None:
    ran = init(*options, "--yes")
    assert ran.exit_code == 1
    assert re.match(f"Error: {facts}", ran.output)
    assert ran.output.count("\n") == 1
    for path, text in repository.files(Answers()).items():
        assert (clone / path).read_text() == text


def test_an_edited_file_is_overwritten_only_with_force(init: Init, clone: Path) -> None:
    edited = clone / "group_data" / "hetzner.py"
    edited.write_text("start_timeout = 600\n")
    before = edited.read_text()
    refused = init(*_NEEDED, "--yes")
    assert refused.exit_code == 1
    assert refused.output.startswith(f"Error: {edited.relative_to(clone)} ")
    assert edited.read_text() == before
    forced = init(*_NEEDED, "--yes", "--force")
    assert forced.exit_code == 0
    assert 'ssh_hostname = "203.0.113.7"' in edited.read_text()


def test_a_failure_to_write_changes_no_file(
    init: Init, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = atomic.prepare

    def fail_for_the_second(file: Path, text: str, *, mode: int | None = None) -> Path:
        if file.name == "chainalign.yaml":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return prepare(file, text, mode=mode)

    monkeypatch.setattr(atomic, "prepare", fail_for_the_second)
    before = {file: file.read_bytes() for file in clone.rglob("*") if file.is_file()}
    failed = init(*_NEEDED, "--yes")
    assert failed.exit_code == 1
    assert "chainalign.yaml" in failed.output
    assert os.strerror(errno.ENOSPC) in failed.output
    assert {file: file.read_bytes() for file in clone.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Müller & Söhne GmbH", "muller-sohne-gmbh"),
        ('Say "hello" \\N{DASH} {x}, y: z #1', "say-hello-n-dash-x-y-z-1"),
        ("'; import os; '", "import-os"),
        ("& anchor", "anchor"),
        ("北京 🔐", "project"),
        ("Null", "null-project"),
        ("{{ 7 * 7 }}", "7-7-project"),
    ],
)
def test_a_name_with_special_characters_is_written_unchanged(
    init: Init, clone: Path, name: str, slug: str
) -> None:
    ran = init(*_NEEDED, "--organization", name, "--yes")
    assert ran.exit_code == 0, ran.output
    assert settings.load(_data(clone)).workspace.organization == name
    project = load(clone / "group_data" / "chainalign.yaml").project
    assert (project.name, project.slug) == (name, slug)
