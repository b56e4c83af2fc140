"""Test which keys code reads, as it is written in JavaScript, TypeScript and Python."""

import time
from textwrap import dedent

import pytest

from infisical_iac.check import javascript, python
from infisical_iac.check.model import Read, Reads


def _javascript(code: str, **others: str) -> Reads:
    texts = {
        "src/app.ts": dedent(code),
        **{f"src/{name}.js": text for name, text in others.items()},
    }
    return javascript.read(texts)["src/app.ts"]


def _python(code: str, **others: str) -> Reads:
    texts = {
        "src/app.py": dedent(code),
        **{f"src/{name}.py": text for name, text in others.items()},
    }
    return python.read(texts)["src/app.py"]


def _keys(reads: Reads) -> tuple[set[str], set[str]]:
    """Return the keys that the code needs, and those that it can do without."""
    needed = {each.key for each in reads.found if not each.is_optional}
    return needed, {each.key for each in reads.found} - needed


@pytest.mark.parametrize(
    "code",
    [
        "connect(process.env.KEY);",
        "connect(process.env.KEY!);",
        "connect(process.env['KEY']);",
        "connect(process.env?.[`KEY`]);",
        "connect(import.meta.env.KEY);",
        "const env = process.env;\nconnect(env.KEY);",
        "import { env } from 'node:process';\nconnect(env.KEY);",
        "const Hint = () => <p>Don't use {process.env.KEY}, it's old</p>;",
        'const x = a.replace(/"/g, \'\') + process.env.KEY + " ";',
        "connect(`a ${process.env.KEY} b`);",
        "const { KEY } = process.env;",
        "const {\n  KEY: renamed,\n} = process.env;",
        "if (!process.env.KEY) throw new Error('no KEY');",
        "import { config } from 'infisical-config/config.js';\nconnect(config.KEY);",
        "import { config as c } from 'infisical-config/config.js';\nconst { KEY } = config;",
        "import { load } from 'infisical-config';\nawait load({ required: ['KEY'] });",
        "import { load } from 'infisical-config';\nconst s = await load();\nf(s.KEY);",
        "import { load } from 'infisical-config';\nconst { KEY } = await load();",
        "const needed = (name: string) => process.env[name];\nneeded('KEY');",
        "function needed(name) {\n  const v = process.env[name];\n  return v;\n}\nneeded('KEY');",
        "const schema = z.object({ KEY: z.string().min(1) }).parse(process.env);",
    ],
)
def test_javascript_needs_a_key_without_a_default(code: str) -> None:
    assert _keys(_javascript(code)) == ({"KEY"}, set())


@pytest.mark.parametrize(
    "code",
    [
        "listen(process.env.KEY ?? 3000);",
        "listen(Number(process.env.KEY) || 3000);",
        "process.env.KEY && start();",
        "start(process.env.KEY ? 'a' : 'b');",
        "const { KEY = 'a' } = process.env;",
        "z.object({ KEY: z.coerce\n  .number()\n  .default(3) }).parse(process.env);",
        "const get = (name, or) => process.env[name] ?? or;\nget('KEY', 'a');",
    ],
)
def test_javascript_can_do_without_a_key_with_a_default(code: str) -> None:
    assert _keys(_javascript(code)) == (set(), {"KEY"})


@pytest.mark.parametrize(
    "code",
    [
        "// process.env.KEY",
        "/* process.env.KEY\n process.env.KEY */",
        "throw new Error('set process.env.KEY first');",
        "process.env.KEY = 'a';",
        "delete process.env.KEY;",
        "import.meta.env.PROD;",
        "const config = { KEY: 1 };\nstart(config.KEY);",
        "const { KEY } = settings;",
        "my_process.env.KEY;",
    ],
)
def test_javascript_without_a_read_has_no_keys(code: str) -> None:
    assert _javascript(code).found == []


def test_an_own_module_that_exports_the_loaders_secrets_is_followed() -> None:
    config = "import { load } from 'infisical-config';\nexport const config = await load();"
    code = "import { config } from './config.js';\nconnect(config.KEY, config.port);"
    assert _javascript(code, config=config).found == [Read("KEY", 2)]
    assert _javascript(code, config="export const config = { KEY: 1 };").found == []


def test_a_helper_of_another_file_is_followed() -> None:
    helper = "export function needed(name) { return process.env[name]; }"
    code = "import { needed as must } from './helper.js';\n\nmust('KEY');"
    assert _javascript(code, helper=helper) == Reads([Read("KEY", 3)])


def test_computed_names_in_javascript_are_reported_by_line() -> None:
    code = "\nfor (const name of names) use(process.env[name]);\nparse(process.env);"
    assert _javascript(code).dynamic == [2, 3]
    passed_on = "spawn('a', { env: { ...process.env } });"
    assert _javascript(passed_on).dynamic == []


@pytest.mark.parametrize("opening", ["/*", "`", "'", "process.env[", "import {", "const a = ("])
def test_the_time_to_read_javascript_grows_only_with_its_length(opening: str) -> None:
    begun = time.process_time()
    assert _javascript(opening * 20_000).found == []
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "opening", ["<script ", "<script '\"", "<script>", "<!--", "{", "{{a}}", ' :a="', "{#each "]
)
def test_the_time_to_read_a_component_grows_only_with_its_length(opening: str) -> None:
    begun = time.process_time()
    assert javascript.read({"a.vue": opening * 20_000})["a.vue"].found == []
    assert time.process_time() - begun < 5


# Programs that fail without KEY.
_NEEDS_KEY = [
    "import os\nx = os.environ['KEY']",
    "import os\nx = os.environ.get('KEY')",
    "import os\nx = os.getenv('KEY')",
    "from os import environ as e\nx = e['KEY']",
    "from os import getenv\nx = getenv('KEY')",
    "from infisical_config import config\nx = config.KEY",
    "from infisical_config import config as c\nx = c['KEY']",
    "import infisical_config\nx = infisical_config.config.KEY",
    "from infisical_config import load\nload(required=['KEY'])",
    "from infisical_config import load\ns = load()\nx = s['KEY']",
    "import os\ndef needed(name: str) -> str:\n    return os.environ[name]\nneeded('KEY')",
    "class Settings(BaseSettings):\n    key: str",
    "class Settings(BaseSettings):\n    x: str = Field(..., validation_alias='KEY')",
    "from infisical_config import load\nclass S(BaseModel):\n    KEY: str\nload(schema=S)",
]


@pytest.mark.parametrize("code", _NEEDS_KEY)
def test_python_needs_a_key_without_a_default(code: str) -> None:
    assert _keys(_python(code)) == ({"KEY"}, set())


@pytest.mark.parametrize(
    "code",
    [
        "import os\nx = os.environ.get('KEY', 'a')",
        "import os\nx = os.getenv('KEY') or 'a'",
        "import os\nif 'KEY' in os.environ:\n    pass",
        "import os\nos.environ.setdefault('KEY', 'a')",
        "from infisical_config import config\nx = config.get('KEY', 'a')",
        "class Settings(BaseSettings):\n    key: int = 3",
        "class Settings(BaseSettings):\n    key: int = Field(default=3)",
    ],
)
def test_python_can_do_without_a_key_with_a_default(code: str) -> None:
    assert _keys(_python(code)) == (set(), {"KEY"})


# Programs that run without KEY.
_ONLY_TESTS_KEY = [
    "if os.environ.get('KEY'):\n    start()",
    "if os.environ.get('KEY') == 'y':\n    start()",
    "if 'y' != os.getenv('KEY'):\n    start()",
    "if os.environ.get('KEY') is not None and other:\n    start()",
    "if os.environ.get('KEY') in ('1', 'true'):\n    start()",
    "on = os.environ.get('KEY') == '1'",
    "on = not os.environ.get('KEY')",
    "on = bool(os.getenv('KEY'))",
    "start(eager=os.environ.get('KEY') == '1')",
    "if key := os.environ.get('KEY'):\n    start(key)",
    "while os.environ.get('KEY'):\n    start()",
    "if 'KEY' not in os.environ:\n    start()",
]


@pytest.mark.parametrize("code", _ONLY_TESTS_KEY)
def test_python_can_do_without_a_key_that_it_only_tests_or_compares(code: str) -> None:
    assert _keys(_python(f"import os\n{code}")) == (set(), {"KEY"})


@pytest.mark.parametrize(
    "code",
    [
        "if not os.environ.get('KEY'):\n    raise SystemExit('KEY is missing')",
        "if os.environ.get('KEY') is None:\n    sys.exit(1)",
        "if os.environ.get('KEY'):\n    start()\nelse:\n    raise ValueError('KEY')",
        "if os.environ.get('KEY') != 'y':\n    raise ValueError('KEY')",
        "assert os.environ.get('KEY') == 'y'",
        "on = os.environ['KEY'] == '1'",
        "on = 'a' in os.environ.get('KEY')",
        "on = os.environ.get('KEY') < 3",
        "if start(os.environ.get('KEY')):\n    pass",
    ],
)
def test_python_needs_a_tested_key_if_it_fails_without_that_key(code: str) -> None:
    assert _keys(_python(f"import os, sys\n{code}")) == ({"KEY"}, set())


@pytest.mark.parametrize(
    "code",
    [
        "# os.environ['KEY']",
        "import os\nos.environ['KEY'] = 'a'",
        "import os\ndel os.environ['KEY']",
        "x = 'os.environ[\"KEY\"]'",
        "config = object()\nx = config.KEY",
        "from settings import config\nx = config.KEY",
    ],
)
def test_python_without_a_read_has_no_keys(code: str) -> None:
    assert _python(code).found == []


def test_settings_of_pydantic_have_their_prefix() -> None:
    code = """\
        class Settings(BaseSettings):
            model_config = SettingsConfigDict(env_prefix="app_")
            db_url: str
            kind: ClassVar[str] = "a"
    """
    assert _python(code).found == [Read("APP_DB_URL", 3)]


def test_subclasses_of_settings_are_settings_with_the_same_prefix() -> None:
    code = """\
        class Settings(BaseSettings):
            model_config = SettingsConfigDict(env_prefix="app_")

        class Production(Settings):
            db_url: str
    """
    assert _python(code).found == [Read("APP_DB_URL", 5)]


def test_computed_names_in_python_are_reported_by_line() -> None:
    code = "import os\nfor n in names:\n    os.environ[n]"
    assert _python(code).dynamic == [3]


def test_a_file_that_is_not_python_has_only_an_error() -> None:
    reads = _python("print os.environ['KEY']")
    assert reads == Reads(error=reads.error)
    assert "Python" in reads.error
