"""Test which rules are added to ignore files, and that git applies these rules."""

from pathlib import Path

import pytest

from infisical_iac.core.errors import FileError
from infisical_iac.migrate import ignores
from infisical_iac.migrate.ignores import for_docker, is_dockerfile, missing, rules, tail
from tests.unit.migrate.cleanable import git, write

_RULES = rules([".env"])
_EXCEPTIONS = [rule for rule in _RULES if rule.startswith("!")]


def _add(root: Path, *paths: str) -> list[str]:
    """Add the missing rules, and return the paths of the changed files."""
    additions = ignores.plan(root, paths)
    for each in additions:
        ignores.write(each)
    return [each.file.relative_to(root).as_posix() for each in additions]


def _list_ignored(root: Path, *paths: str) -> list[str]:
    return [
        path
        for path in paths
        if git(root, "ls-files", "--others", "--", path) and not _show(root, path)
    ]


def _show(root: Path, path: str) -> str:
    return git(root, "ls-files", "--others", "--exclude-standard", "--", path)


def test_the_rules_hide_the_files_and_show_the_samples() -> None:
    assert _RULES == [
        ".env",
        ".env.*",
        ".env-archive-*",
        "!.env*.defaults",
        "!.env*.dist",
        "!.env*.example",
        "!.env*.sample",
        "!.env*.template",
    ]
    assert rules(["prod.env", ".env.local", ".env[1]"])[3:5] == [r".env\[1\]", "prod.env"]


def test_rules_of_a_dockerignore_apply_at_any_depth() -> None:
    assert for_docker([".env", "!.env*.example"]) == ["**/.env", "!**/.env*.example"]


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("", _RULES),
        ("node_modules\n", _RULES),
        (".env\n.env.*\n.env-archive-*\n", _EXCEPTIONS),
        (".env*\n!.env.example\n", _EXCEPTIONS),
        (".env*\n!.env.production\n", _RULES),
        ("#.env*\n", _RULES),
        ("/.env\n.env.*.local\n", _RULES),
        ("\n".join(_RULES), []),
        ("\r\n".join(_RULES), []),
        ("\n".join([*_EXCEPTIONS, ".env"]), [".env.*", ".env-archive-*", *_EXCEPTIONS]),
    ],
)
def test_only_rules_without_effect_yet_are_missing(text: str, lacks: list[str]) -> None:
    assert missing(text, _RULES) == lacks


def test_a_dockerignore_that_includes_a_directory_needs_the_rules() -> None:
    desired = for_docker(_RULES)
    assert missing("*\n!backend\n", desired) == desired
    assert missing("*\n!backend\n" + "\n".join(desired), desired) == []


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("", "#\n.env\n"),
        ("a\n", "\n#\n.env\n"),
        ("a", "\n\n#\n.env\n"),
        ("a\r\nb", "\r\n\r\n#\r\n.env\r\n"),
    ],
)
def test_lines_are_added_at_the_end_below_one_comment(text: str, added: str) -> None:
    comment, *_ = tail("", []).splitlines()
    assert tail(text, [".env"]) == added.replace("#", comment)
    assert comment.startswith("# ")


def test_git_ignores_the_files_and_not_the_samples(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    hidden = ["a/.env", ".env.production", ".env-archive-1.tar.age", "a/prod.env", "a/.env[1]"]
    shown = [".env.example", "a/.env.local.example", "a/.env.sample", "a/env.js"]
    for path in hidden + shown:
        write(tmp_path, path)
    _add(tmp_path, *hidden)
    assert _list_ignored(tmp_path, *hidden, *shown) == hidden


def test_a_second_run_adds_nothing(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    write(tmp_path, "a/Dockerfile", "FROM scratch\n")
    write(tmp_path, "a/.env")
    assert _add(tmp_path, "a/.env") == [".gitignore", ".dockerignore", "a/.dockerignore"]
    (tmp_path / "a" / ".env").unlink()
    assert _add(tmp_path, "a/.env") == []


def test_each_directory_with_a_dockerfile_gets_a_dockerignore(tmp_path: Path) -> None:
    write(tmp_path, "a/b/.env")
    write(tmp_path, "a/web.Dockerfile", "FROM scratch\n")
    write(tmp_path, "a/web.Dockerfile.dockerignore", "*.md\n")
    write(tmp_path, "other/Dockerfile", "FROM scratch\n")
    assert _add(tmp_path, "a/b/.env") == [
        ".gitignore",
        ".dockerignore",
        "a/.dockerignore",
        "a/web.Dockerfile.dockerignore",
    ]


def test_a_repository_below_the_root_gets_its_own_rules(tmp_path: Path) -> None:
    write(tmp_path, "clone/a/.env")
    git(tmp_path / "clone", "init", "--quiet")
    assert "clone/.gitignore" in _add(tmp_path, "clone/a/.env")
    assert _list_ignored(tmp_path / "clone", "a/.env") == ["a/.env"]


def test_nothing_is_written_above_the_root(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    write(tmp_path, "root/a/.env")
    _add(tmp_path / "root", "a/.env")
    assert not (tmp_path / ".gitignore").exists()
    assert _list_ignored(tmp_path, "root/a/.env") == ["root/a/.env"]


def test_existing_content_and_mode_of_an_ignore_file_are_kept(tmp_path: Path) -> None:
    file = tmp_path / ".gitignore"
    file.write_bytes(b"caf\xe9\r\n")
    file.chmod(0o640)
    _add(tmp_path, ".env")
    assert file.read_bytes().startswith(b"caf\xe9\r\n\r\n# ")
    assert file.stat().st_mode & 0o777 == 0o640


def test_an_ignore_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").symlink_to("elsewhere")
    with pytest.raises(FileError, match="is a symbolic link"):
        ignores.plan(tmp_path, [".env"])


def test_an_ignore_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").mkdir()
    with pytest.raises(FileError, match=r"can't be read \(Is a directory\)"):
        ignores.plan(tmp_path, [".env"])


@pytest.mark.parametrize(
    ("name", "builds"),
    [
        *(
            (each, True)
            for each in ("Dockerfile", "Dockerfile-prod", "Dockerfile.dev", "a.dockerfile")
        ),
        *((each, False) for each in ("Dockerfile.dockerignore", ".dockerignore", "my-Dockerfile")),
    ],
)
def test_dockerfiles_are_recognized_by_their_names(name: str, builds: bool) -> None:
    assert is_dockerfile(name) == builds


def test_a_root_that_only_holds_repositories_gets_no_rules(tmp_path: Path) -> None:
    for path in ("api/.env", "web/.env", "loose/.env"):
        write(tmp_path, path)
    for name in ("api", "web"):
        git(tmp_path / name, "init", "--quiet")
    changed = _add(tmp_path, "api/.env", "web/.env", "loose/.env")
    assert {"api/.gitignore", "api/.dockerignore", "web/.gitignore", "loose/.gitignore"} <= {
        *changed
    }
    assert not {*changed} & {".gitignore", ".dockerignore"}
