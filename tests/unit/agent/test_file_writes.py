"""Test that the agent writes files by `files.py`, which a power cut does not tear."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import infisical_iac.agent

_AGENT = Path(infisical_iac.agent.__file__).parent
_METHODS = {"write_text", "write_bytes", "symlink_to", "hardlink_to", "touch", "rename", "truncate"}
_FUNCTIONS = {
    *("os.replace", "os.rename", "os.link", "os.symlink", "os.truncate"),
    *(f"shutil.{each}" for each in ("copy", "copy2", "copyfile", "copytree", "move")),
}
# Other writes, and why a power cut may tear them.
_ALLOWED = {
    # Docker or the agent writes the next file over a torn log or its copy.
    ("access_log.py", "replace"),  # the compressed log was flushed, and its folder is afterwards
    ("access_log.py", "os.truncate"),  # the log is emptied once its copy is flushed
    ("access_log.py", "open"),  # a copy of the log, which is flushed before it is used
    ("dump.py", "touch"),  # a dump that was not made to its end is made again
    ("dump.py", "rename"),  # both folders are flushed afterwards
    ("host_key.py", "os.replace"),  # the folder is flushed afterwards
    ("ingress.py", "replace"),  # the files were flushed, and their folder is afterwards
    ("kept_release.py", "symlink_to"),  # chosen again before each load
    ("lock.py", "write_text"),  # the holder's name, in memory
    ("maintenance.py", "write_text"),  # the holder's name, in memory
    ("removal.py", "rename"),  # its folder is flushed afterwards
    ("restore.py", "replace"),  # a step of a restore, not of a path
    ("runner.py", "open"),  # the output of a program, which its caller flushes
    ("shared_state.py", "rename"),  # a copy; the next write flushes its folder
    ("vitals.py", "open"),  # addresses of containers, which each run of the monitor compares
    ("vitals.py", "truncate"),  # as above
    ("volume.py", "rename"),  # the file system is flushed before the source is removed
    ("volume.py", "write_text"),  # the holder's name, in memory
    ("volume_copy.py", "shutil.copyfile"),  # flushed before the data are swapped
    ("volume_copy.py", "symlink_to"),  # its folder is flushed afterwards
}


def _find_writes(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        method = name.rpartition(".")[2]
        if name in _FUNCTIONS:
            yield name
        elif method in _METHODS and name != method:
            yield method
        elif method == "replace" and len(node.args) == 1 and not node.keywords:
            yield method  # a path's; a string's has two arguments
        elif method == "open" and name != "os.open":
            modes = [*node.args[:2], *(each.value for each in node.keywords if each.arg == "mode")]
            if any(set("wax+") & set(_text(each)) for each in modes):
                yield method


def _text(node: ast.expr) -> str:
    found = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
    texts = [each for each in found if isinstance(each, str) and set(each) <= set("rwaxbt+")]
    return "".join(texts)


def test_the_agent_writes_files_in_one_way() -> None:
    found = Counter(
        (path.name, each)
        for path in sorted(_AGENT.glob("*.py"))
        if path.name != "files.py"
        for each in _find_writes(ast.parse(path.read_text()))
    )
    assert [each for each in found if each not in _ALLOWED] == []
    assert [each for each in _ALLOWED if each not in found] == []
