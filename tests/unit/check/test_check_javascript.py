"""Test which keys JavaScript and TypeScript read, in forms that need a grammar."""

import subprocess
import sys
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.check import javascript
from infisical_iac.check.model import Read, Reads
from infisical_iac.syntax import javascript as syntax


def _read(code: str, path: str = "src/app.js", **others: str) -> Reads:
    texts = {path: dedent(code), **{f"src/{name}.js": text for name, text in others.items()}}
    return javascript.read(texts)[path]


def _keys(reads: Reads) -> tuple[set[str], set[str]]:
    """Return the keys that the code needs, and those that it can do without."""
    needed = {each.key for each in reads.found if not each.is_optional}
    return needed, {each.key for each in reads.found} - needed


@pytest.mark.parametrize(
    ("code", "needed", "optional"),
    [
        ("const {DATABASE_URL, X: y = 'd'} = process.env;", {"DATABASE_URL"}, {"X"}),
        ("const { A: { b } = {}, B } = process.env;", {"B"}, {"A"}),
        ("const { A = f({ B: 1 }), C } = process.env;", {"C"}, {"A"}),
        ("const { 'A': a, \"B\": b = 1 } = process.env;", {"A"}, {"B"}),
        ("const { env: { A, B = 1 } } = process;", {"A"}, {"B"}),
        ("const { env } = process;\nconnect(env.A);", {"A"}, set()),
        ("let a, b;\n({ A: a, B: b = 1 } = process.env);", {"A"}, {"B"}),
        ("function start({ A, B = 1 } = process.env) {}", {"A"}, {"B"}),
        ("const start = ({ A }: Env = process.env) => A;", {"A"}, set()),
        ("const { A } = process.env as unknown as Record<string, string>;", {"A"}, set()),
        ("const { A, // the comma, } or this: B = 1\n  C } = process.env;", {"A", "C"}, set()),
        ("const { A, ...rest } = process.env;", {"A"}, set()),
        (
            "const { A } = process.env ?? {};\nconst e = process.env || {};\nuse(e.B)",
            {"A", "B"},
            set(),
        ),
    ],
)
def test_keys_of_a_destructured_environment_are_found(
    code: str, needed: set[str], optional: set[str]
) -> None:
    assert _keys(_read(code, "src/app.ts")) == (needed, optional)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("connect(`a ${process.env.A} b`);", ["A"]),
        ("connect(`${`${process.env.A}`}:${f(`}${process.env.B}`)}`);", ["A", "B"]),
        ("connect(`set process.env.A first`);", []),
        ("connect(`// ${process.env.A}`);", ["A"]),
        ("connect(`\\${process.env.A}`);", []),
        ("sql`select ${process.env.A} -- ${/`/.test(x) ? process.env.B : 1}`;", ["A", "B"]),
        ("connect(process.env[`A`]);", ["A"]),
    ],
)
def test_template_literals_are_code_only_between_their_braces(code: str, found: list[str]) -> None:
    assert [each.key for each in _read(code).found] == found


@pytest.mark.parametrize("index", ["`${prefix}_URL`", "'APP_' + name", "names[0]", "f(`A`)"])
def test_a_computed_name_is_reported_by_its_line(index: str) -> None:
    assert _read(f"\nconnect(process.env[{index}]);") == Reads(dynamic=[2])


@pytest.mark.parametrize(
    "code",
    [
        "const { [name]: value } = process.env;",
        "const { ...all } = process.env;",
        "const env = process.env; parse(env);",
        "validate(schema, process.env);",
        "for (const name in process.env) use(name);",
        "const get = (or, name) => process.env[name];",
        "export const all = { get(name) { return process.env[name]; } };",
    ],
)
def test_an_environment_that_is_taken_as_a_whole_is_reported(code: str) -> None:
    assert _read(code) == Reads(dynamic=[1])


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("const Page = () => <p title={process.env.A}>It's {process.env.B}, isn't it</p>;", "AB"),
        ("const Page = () => <p>process.env.A is not read here, // nor /* here</p>;", ""),
        ("const Page = () => <a href='process.env.A' b=\"it's\">{`${process.env.B}`}</a>;", "B"),
        ("const Page = () => <p>A & {process.env.A}, B & B</p>;", "A"),
        ("const Page = () => <>{/* process.env.A */}{process.env.B}</>;", "B"),
        ("const Page = () => <Box {...process.env} a={<b>{process.env.A ?? ''}</b>} />;", "A"),
    ],
)
@pytest.mark.parametrize("ending", ["js", "jsx", "tsx"])
def test_jsx_is_code_only_between_its_braces(code: str, found: str, ending: str) -> None:
    reads = _read(code, f"src/app.{ending}")
    assert ([each.key for each in reads.found], reads.error) == ([*found], "")


@pytest.mark.parametrize(
    "code",
    [
        "use('process.env.KEY');",
        "define({ 'process.env.KEY': '1' });",
        "use(\"process.env['KEY']\", 'import.meta.env.KEY');",
        "use('a \\\n process.env.KEY');",
        "if (/process.env.KEY/.test(line)) use(line);",
        "const quote = /['\"`]/; // process.env.KEY",
        "const url = 'https://example.com'; // process.env.KEY",
        "const pattern = /[/*]/; /* process.env.KEY */",
        "<!-- process.env.KEY\nuse(1);",
        "use({ process: { KEY: 1 } }.process.KEY);",
        "process.env['KEY'] = 'a';",
        "({ a: process.env.KEY } = settings);",
        "[process.env.KEY, ...process.env.KEY] = list;",
        "for (process.env.KEY of list) use(list);",
        "use(process.env.hasOwnProperty('KEY'), process.env['KEY'](), process.env[0]);",
        "delete process.env['KEY'];",
        "const process_ = { env: { KEY: 1 } };\nuse(process_.env.KEY);",
    ],
)
def test_similar_code_is_not_a_read(code: str) -> None:
    assert _read(code).found == []


@pytest.mark.parametrize(
    "code",
    [
        "const quote = /['\"`]/;\nuse(process.env.KEY);",
        "const slashes = /\\/\\*/;\nuse(process.env.KEY);",
        "const url = 'http://a';use(process.env.KEY);",
        "use(a / process.env.KEY / 2);",
        "use(process\n  .env\n  .KEY);",
        "use(process?.env?.KEY);",
        "use(process.env?.['KEY']?.length);",
        "use(process['env'].KEY);",
        "use(process.env /* the */ . /* key */ KEY);",
        "use(globalThis.process.env.KEY);",
        "use((process.env).KEY);",
        "use(import.meta.env.KEY);",
        "use(import.meta.env?.['KEY']);",
        "const { KEY } = import.meta.env;",
        "const { env: e } = import.meta;\nuse(e.KEY);",
        "#!/usr/bin/env node\nuse(process.env.KEY);",
        "if (!process.env.OTHER && !process.env.KEY || !process.env.KEY) stop();",
        "class A { static #key = process.env.KEY; }",
        "label: for (;;) { switch (process.env.KEY) { case 'a': break label; } }",
        "import defaults, { env as e } from 'process';\nuse(e.KEY);",
        "import * as p from 'node:process';\nuse(p.env.KEY);",
        "const { env: e } = require('process');\nuse(e.KEY);",
        "import * as secrets from 'infisical-config';\nuse(secrets.config.KEY);",
        "import * as s from 'infisical-config';\nconst c = await s.load();\nuse(c.KEY);",
        "import d, { config as c } from 'infisical-config/config.js';\nuse(c.KEY);",
        "const needed = function (name) { return process.env[name]; };\nneeded(`KEY`);",
        "function needed(name = 'A') { return process.env[name]; }\nneeded('KEY');",
        "function* needed(name) { yield process.env[name]; }\nneeded('KEY');",
        "const needed = function* (name) { yield process.env[name]; };\nneeded('KEY');",
        "require('infisical-config');\nuse(config.KEY);",
        "const { config: c } = require('infisical-config');\nuse(c.KEY);",
        "use('http://' + process.env.KEY || 1);",
        "const start = (env = process.env) => env.KEY;",
    ],
)
def test_a_read_is_found_in_any_spelling(code: str) -> None:
    assert "KEY" in _keys(_read(code))[0]


@pytest.mark.parametrize(
    "code",
    [
        "use(parseInt(process.env.KEY, 10) || 1);",
        "use((await f(process.env.KEY)) ?? 1);",
        "use(process.env.KEY /* or */ ?? 1);",
        "process.env.KEY ??= 'a';",
        "process.env.KEY ||= 'a';",
        "if ('KEY' in process.env) start();",
        "use(process.env.KEY // the default:\n  ?? 1);",
        "use((a || process.env.KEY) ?? 1);",
        "use((a && process.env.KEY) || 1);",
        "use(+process.env.KEY || 1);",
        "use(1000 * process.env.KEY || 1);",
        "use(new Date(process.env.KEY) ?? 1);",
        "use(!process.env.KEY ? 1 : 2);",
        "use(process.env.KEY?.split(',') ?? []);",
    ],
)
def test_a_default_around_an_enclosing_expression_is_found(code: str) -> None:
    assert _keys(_read(code)) == (set(), {"KEY"})


@pytest.mark.parametrize(
    "code",
    [
        "if (process.env.KEY) start();",
        "if (process.env.KEY) { start(); } else { stop(); }",
        "if (other && process.env.KEY) start();",
        "if (process.env.KEY === 'y') start();",
        "if ('a' === process.env.KEY || 1) stop();",
        "if (process.env.KEY !== 'y') start();",
        "if (process.env.KEY !== undefined) start();",
        "if (typeof process.env.KEY === 'string') start();",
        "if (process.env.KEY) throw new Error('KEY is not supported');",
        "const on = process.env.KEY === '1';",
        "const on = process.env.KEY == '1' && other;",
        "const on = !!process.env.KEY;",
        "const on = Boolean(process.env.KEY);",
        "use({ secure: process.env.KEY !== 'development' });",
        "app.set('trust proxy', process.env.KEY === 'true');",
        "export default () => process.env.KEY > 3;",
        "while (process.env.KEY) start();",
    ],
)
def test_a_key_that_is_only_tested_or_compared_may_be_missing(code: str) -> None:
    assert _keys(_read(code)) == (set(), {"KEY"})


@pytest.mark.parametrize(
    "code",
    [
        "if (!process.env.KEY) throw new Error('KEY is missing');",
        "if (!process.env.KEY) { console.error('KEY?'); process.exit(1); }",
        "if (process.env.KEY === undefined) throw new Error('KEY is missing');",
        "if (process.env.KEY == null || other) throw new Error('KEY is missing');",
        "if (typeof process.env.KEY === 'undefined') throw new Error('KEY is missing');",
        "if (process.env.KEY) { start(); } else { throw new Error('KEY is missing'); }",
        "if (process.env.KEY !== 'y') throw new Error('KEY is not y');",
        "assert(process.env.KEY !== undefined, 'KEY is missing');",
        "assert.ok(!!process.env.KEY);",
        "expect(process.env.KEY === 'y');",
        "if (start(process.env.KEY)) use(1);",
        "if (process.env.KEY.length === 3) use(1);",
    ],
)
def test_a_key_is_needed_if_a_test_stops_the_program_without_it(code: str) -> None:
    assert _keys(_read(code)) == ({"KEY"}, set())


def test_either_of_two_missing_keys_stops_the_program() -> None:
    """`!A || !B` asks for both: neither has a default."""
    code = "if (!process.env.A || !process.env.B) throw new Error();"
    assert _keys(_read(code)) == ({"A", "B"}, set())


@pytest.mark.parametrize(
    ("code", "needed", "optional"),
    [
        ("connect((process.env as Env).A, process.env.B!, <string>process.env.C);", "ABC", ""),
        ("connect((<Env>process.env).A, (process.env satisfies Env).B);", "AB", ""),
        ("connect((process.env.A as string) ?? 'a', process.env.B! || 'b');", "", "AB"),
        ("const a = process.env.A satisfies string | undefined;", "A", ""),
        ("declare global { namespace NodeJS { interface ProcessEnv { A: string } } }", "", ""),
        ("type A = typeof process.env.A;\nlet a: (typeof process.env)['B'];", "", ""),
        ("function needed<T extends string>(name: T): T { return process.env[name] as T }\n"
         "needed<'A'>('A');", "A", ""),
        ("const get = <T,>(name: string, or?: T) => process.env[name] ?? or;\nget<number>('A', 1)",
         "", "A"),
        ("enum Level { A = Number(process.env.A), B = 2 }", "A", ""),
        ("@Module({ url: process.env.A })\nclass App { @Inject(process.env.B) b: string;\n"
         "  constructor(private readonly env = process.env) { this.start(env.C); } }", "ABC", ""),
        ("abstract class A<T> { protected a?: string = process.env.A; abstract b(): T; }", "A", ""),
        ("const { A, B = 'b' }: { A?: string; B?: string } = process.env;", "A", "B"),
        ("import s = require('infisical-config');\nuse(s.config.A);", "A", ""),
        ("import { load } from 'infisical-config';\nconst s: S = await load<S>();\nuse(s.A);",
         "A", ""),
        ("export const a = (process.env.A!)!.split(',') as readonly string[];", "A", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["ts", "mts"])
def test_typescript_is_read_and_its_types_are_not(
    code: str, needed: str, optional: str, ending: str
) -> None:
    reads = _read(code, f"src/app.{ending}")
    assert _keys(reads) == ({*needed}, {*optional})
    assert reads.error == ""


def test_tsx_has_types_and_elements() -> None:
    code = """\
        type Props<T> = { a: T; b?: string };
        export function Page<T,>({ a, b = process.env.B! }: Props<T>): JSX.Element {
          return <Box<string> url={process.env.A as string}>It's {b}</Box>;
        }
    """
    reads = _read(code, "src/app.tsx")
    assert reads == Reads([Read("B", 2), Read("A", 3)])


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("const a = (b: string): string => process.env.A;", "src/app.js"),
        ("const a = () => <p>{process.env.A}</p>;", "src/app.ts"),
        ("const a = () => <A b={process.env.A} />;", "src/app.ts"),
    ],
)
def test_the_other_dialect_is_tried_if_the_dialect_of_the_suffix_fails(
    code: str, path: str
) -> None:
    """Bundlers accept Flow's types in `.js` and elements in `.ts`."""
    assert _read(code, path).error == ""


@pytest.mark.parametrize(
    "code",
    [
        "use(process.env.A);\nconst = ;\nuse(process.env.B);",
        "use(process.env.A);\nuse(process.env.B);\nfunction start( {",
        "use(process.env.A);\n}}}\nuse(process.env.B);",
        "<<<<<<< HEAD\nuse(process.env.A);\n=======\nuse(process.env.B);\n>>>>>>> other",
    ],
)
def test_a_syntax_error_is_reported_and_the_rest_is_read(code: str) -> None:
    reads = _read(code)
    assert {each.key for each in reads.found} == {"A", "B"}
    assert "in full (line " in reads.error


def test_a_file_that_is_not_javascript_at_all_is_reported() -> None:
    assert _read("\x00\x01\ufffd 'a").error != ""


def test_a_large_minified_file_is_read() -> None:
    line = "function a(b,c){return b?`${c}`:{d:[1,/x/g.test(c)]}}var e=a(1,2);" * 5_000
    assert _read(f"{line}use(process.env.KEY);{line}") == Reads([Read("KEY", 1)])


def test_a_file_that_takes_too_long_is_given_up_and_reported() -> None:
    """Hostile code can make a parser try a large number of readings."""
    script = syntax.parse("src/app.js", "const a = (" * 5_000, most_work=100)
    assert [*script.nodes()] == []
    assert "too large" in script.error


@pytest.mark.parametrize("ending", ["vue", "svelte"])
def test_a_component_is_read_in_its_scripts(ending: str) -> None:
    code = """\
        <!-- process.env.NOT_THIS -->
        <script lang="ts">
          const a: string = process.env.A!;
        </script>
        <script setup>
          import { env } from 'node:process';
        </script>
        <p>It's process.env.NOR_THAT</p>
        <style>p { color: red }</style>
    """
    assert _read(code, f"src/app.{ending}") == Reads([Read("A", 3)])


def test_the_expressions_of_a_vue_template_are_read() -> None:
    code = """\
        <script setup>
        const env = import.meta.env;
        </script>
        <template>
          <p v-if="env.A && a < 1" :title="env.B" title="env.NOT_THIS">{{ env.C ?? { c: 1 } }}</p>
        </template>
    """
    found = [Read("A", 5, True), Read("B", 5), Read("C", 5, True)]
    assert _read(code, "src/app.vue") == Reads(found)


def test_the_expressions_of_a_svelte_template_are_read() -> None:
    code = """\
        <script>
          import { env } from 'process';
        </script>
        {#if env.A}
          <p title={env.B} class="a {env.C} b">{`${env.D}`} it's {@html env.E}</p>
        {:else if env.F}
          {#each f(env.G) as each (each.id)}{each}{/each}
        {/if}
    """
    assert [each.key for each in _read(code, "src/app.svelte").found] == [*"ABCDEFG"]


def test_a_template_that_is_not_javascript_is_not_an_error() -> None:
    code = "<script>use(process.env.A)</script>\n{#await f() then a}<p {b}>{ }}</p>{/await}"
    assert _read(code, "src/app.svelte") == Reads([Read("A", 1)])


def test_a_package_is_not_taken_for_a_file_of_the_same_name() -> None:
    own = "import { load } from 'infisical-config';\nexport const settings = await load();"
    code = "import { settings } from 'own';\nuse(settings.KEY);"
    assert _read(code, own=own).found == []
    assert _read(code.replace("'own'", "'./own'"), own=own).found == [Read("KEY", 2)]


def test_a_module_that_only_names_the_loader_has_no_secrets() -> None:
    code = "console.log('infisical-config');\nimport { config } from './own.js';\nuse(config.KEY);"
    assert _read(code).found == []


def test_methods_of_a_schema_decide_whether_its_key_is_optional() -> None:
    code = """\
        const schema = z.object({
          A: z.string().describe("not .default( this"),
          B: z.preprocess((value) => value, z.number().default(1)).optional(),
          C: z.enum(["a", "b"]).default("a"),
          D: z.optional(z.string()),
          nested: z.object({ E: z.string() }),
        }).parse(process.env);
    """
    assert _keys(_read(code)) == ({"A", "E"}, {"B", "C", "D"})


def test_a_file_of_declarations_reads_no_keys() -> None:
    code = "export interface A { new (): import('b').B<C>; }\ndeclare const a = process.env.A;"
    assert _read(code, "src/app.d.ts") == Reads()


_TOKENS = [
    *("process", ".", "env", "KEY", "`", "${", "}", "{", "(", ")", "<", ">", "/", "'", '"', "\\"),
    *(
        "=",
        ";",
        "&",
        "?",
        ":",
        "[",
        "]",
        "\n",
        " ",
        "import",
        "const",
        "await",
        "load",
        "in",
        "\u2028",
    ),
    *(
        "<script>",
        "</script>",
        "<!--",
        "-->",
        "{{",
        "}}",
        ' :a="',
        "{#each ",
        " as ",
        "\0",
        "\ud800",
    ),
]


@given(st.lists(st.sampled_from(_TOKENS)).map("".join))
@pytest.mark.parametrize("ending", ["js", "ts", "tsx", "vue", "svelte"])
def test_any_file_is_read_without_an_exception(ending: str, code: str) -> None:
    path = f"a.{ending}"
    reads = javascript.read({path: code})[path]
    assert all(0 < each.line <= code.count("\n") + 1 for each in reads.found)


def test_the_grammars_are_not_loaded_before_code_is_read() -> None:
    """Otherwise every command would wait for the grammars, even `--help`."""
    code = """\
        import sys
        import infisical_iac.cli.main, infisical_iac.check.repository, infisical_iac.migrate.loaders
        assert "tree_sitter" not in sys.modules
        infisical_iac.check.repository.startup.javascript.read({"a.js": "process.env.A"})
        assert "tree_sitter_typescript" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", dedent(code)], check=True)
