"""Test `from infisical_config import config` in a process, and the end of such a process."""

import json
import re
import time
from pathlib import Path

from tests import service
from tests.scripted import REFUSED, ScriptedServer

CONFIG = "from infisical_config import config"


def test_the_first_import_loads_and_later_imports_do_not(
    server: ScriptedServer, home: Path
) -> None:
    code = f"""{CONFIG}
{CONFIG} as again
import infisical_config
assert config is again is infisical_config.config
print(config, config.A == "value-of-a")
"""
    done = service.run(home, "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "<Config: A, B> True\n", "")
    assert [seen.kind for seen in server.seen] == ["login", "list"]


def test_a_refused_start_ends_the_process_with_one_line(server: ScriptedServer, home: Path) -> None:
    server.scripts["login"] = [REFUSED]
    done = service.run(home, "-c", CONFIG)
    assert (done.returncode, done.stdout) == (77, "")
    assert re.fullmatch(r"infisical-config: http\S+ refused the client id .*\n", done.stderr)
    assert server.count("login") == 1


def test_a_load_within_exit_on_error_ends_the_process_with_one_line(
    server: ScriptedServer, home: Path
) -> None:
    server.scripts["login"] = [REFUSED]
    code = "from infisical_config import exit_on_error, load\nwith exit_on_error(): load()"
    done = service.run(home, "-c", code)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (77, "", 1)


def test_a_service_that_is_not_configured_ends_with_the_names_to_set(tmp_path: Path) -> None:
    done = service.run(tmp_path, "-c", CONFIG)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("infisical-config: ")
    assert "workspaceId and domain into .infisical.json" in done.stderr
    assert "INFISICAL_PROJECT_ID and INFISICAL_DOMAIN" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_process_can_end_at_once_while_an_answer_is_still_arriving(
    server: ScriptedServer, home: Path
) -> None:
    server.scripts["list"] = [{"drip": 0.05}]
    code = """
import infisical_config.fetching, sys, time
begin = time.monotonic()
try:
    infisical_config.load(timeout=0.5)
except infisical_config.ConfigError as error:
    print(error.code, 0.5 <= time.monotonic() - begin < 1, time.time())
"""
    done = service.run(home, "-c", code)
    ended = time.time()
    code, in_time, failed = done.stdout.split()
    assert (code, in_time, done.returncode) == ("deadline", "True", 0)
    assert ended - float(failed) < 0.5


def test_a_watch_does_not_keep_the_process_alive(server: ScriptedServer, home: Path) -> None:
    code = "from infisical_config import watch; watch(every=0.01, on_change=print)"
    done = service.run(home, "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_start_is_small_and_needs_no_other_package(home: Path) -> None:
    code = """
import json, resource, sys
sys.modules["pydantic"] = sys.modules["cryptography"] = None
import infisical_config
light = not sys.modules.keys() & {"ssl", "http.client"}
infisical_config.load()
light = light and not sys.modules.keys() & {"requests", "urllib3", "certifi", "urllib.request"}
print(json.dumps([light, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024]))
"""
    done = service.run(home, "-c", code)
    light, megabytes = json.loads(done.stdout)
    assert light
    assert megabytes < 150
