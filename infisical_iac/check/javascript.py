"""What JavaScript and TypeScript read from their environment, or from the loader."""

import re
from bisect import bisect
from collections.abc import Collection, Iterable, Iterator, Mapping

from infisical_iac.check import javascript_names as names
from infisical_iac.check.javascript_names import NAME
from infisical_iac.check.javascript_text import code as code_of
from infisical_iac.check.reads import Read, Reads

ENDINGS = (".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".vue", ".svelte")

_ENV = r"(?:\b(?:process|Bun|import\.meta)\??\.env\b)"
_KEY = r"[A-Z][A-Z0-9_]*"
# A value to fall back to, or a question whether it is there.
_DEFAULT = re.compile(r"\s*(?:\)*\s*(?:\?\?|\|\|)|&&|\?(?![.?]))")
_WRITTEN = re.compile(r"\s*=(?![=>])")
_PASSED_ON = re.compile(rf"\(\s*{_ENV}\s*[,)]")
_REQUIRED = re.compile(r"\brequired\s*:\s*\[([^\]]{0,9999})\]")
_SCHEMA = re.compile(rf"\b({_KEY})\s*:\s*z\s*\.([^,\n]*(?:\n\s*\.[^,\n]*)*)")
_OPTIONAL = re.compile(r"\.(?:default|optional|nullish|catch|prefault)\(")
_VITE = frozenset({"MODE", "BASE_URL", "PROD", "DEV", "SSR"})


def read(texts: Mapping[str, str]) -> dict[str, Reads]:
    """What each file of a service reads, by its path.

    A function such as `needed(name)` that looks `name` up in the environment reads what it is
    called with, in the files that have it.
    """
    codes = {path: code_of(text) for path, text in texts.items()}
    loading = {path for path, code in codes.items() if names.uses_loader(code)}
    files = {path: _File(path, code, loading) for path, code in codes.items()}
    helpers = {each for file in files.values() for each in file.helpers}
    return {path: file.reads(helpers) for path, file in files.items()}


class _File:
    """One file, and the names by which it has secrets."""

    def __init__(self, path: str, code: str, loading: Collection[str]) -> None:
        self._code = code
        self._uses_loader = path in loading
        self._ends = [found.start() for found in re.finditer("\n", code)]
        mine = "|".join(map(re.escape, sorted(names.secrets(path, code, loading))))
        self._secrets = rf"(?<![\w$.])(?:{mine})(?![\w$])" if mine else r"(?!)"
        self.helpers: set[str] = set()
        self._dynamic = list(self._looked_up())

    def _looked_up(self) -> Iterator[int]:
        """Where keys are read by a name that is only known when the code runs, unless a helper."""
        computed = (
            rf"(?:{_ENV}|{self._secrets})\s*(?:\?\.)?\[\s*(?![\"'`\s\d])([^\]\n]{{1,200}}?)\s*\]"
        )
        functions = list(names.functions(self._code))
        for found in re.finditer(computed, self._code):
            if helper := names.around(functions, found[1], found.start()):
                self.helpers.add(helper)
            else:
                yield found.start()
        yield from (found.start() for found in _PASSED_ON.finditer(self._code))

    def reads(self, helpers: Iterable[str]) -> Reads:
        found = [*self._members(), *self._taken_apart(), *self._declared()]
        mine = self.helpers | {
            each.local for each in names.imports(self._code) if each.name in helpers
        }
        for helper in mine:
            found += self._asked(helper)
        lines = sorted({self._line(position) for position in self._dynamic})
        return Reads(sorted(found, key=lambda each: each.line), lines)

    def _members(self) -> Iterator[Read]:
        index = rf"(?:\?\.)?\[\s*(?P<q>[\"'`])(?P<index>{_KEY})(?P=q)\s*\]"
        of_env = rf"{_ENV}\s*(?:(?:\?\.|\.)\s*(?P<name>{NAME})(?!\s*\()|{index})"
        of_secrets = rf"{self._secrets}\s*(?:(?:\?\.|\.)\s*(?P<name>{_KEY})\b(?!\s*\()|{index})"
        for pattern in (of_env, of_secrets):
            for found in re.finditer(pattern, self._code):
                key = found["name"] or found["index"]
                is_vite = "meta" in found[0] and key in _VITE
                if not is_vite and not self._is_written(found):
                    is_optional = bool(_DEFAULT.match(self._code, found.end()))
                    yield Read(key, self._line(found.start()), is_optional)

    def _is_written(self, found: re.Match[str]) -> bool:
        before = self._code[max(0, found.start() - 20) : found.start()].rstrip()
        return bool(_WRITTEN.match(self._code, found.end())) or before.endswith("delete")

    def _taken_apart(self) -> Iterator[Read]:
        """`const { A, B = "b" } = process.env`."""
        source = rf"(?:{_ENV}|{self._secrets})(?![\w.\[?])"
        loaded = r"|await\s+load\(" if self._uses_loader else ""
        pattern = rf"\{{([^{{}}]*)\}}\s*(?::[^=\n{{}}]+)?=\s*(?:{source}{loaded})"
        for found in re.finditer(pattern, self._code):
            for part in found[1].split(","):
                if name := re.match(rf"\s*({_KEY})\b\s*(?::\s*{NAME}\s*)?(=)?", part):
                    yield Read(name[1], self._line(found.start()), bool(name[2]))
                elif "..." in part:
                    self._dynamic.append(found.start())

    def _declared(self) -> Iterator[Read]:
        """What `load({ required, schema })` names, and schemas for the environment itself."""
        if not self._uses_loader and not re.search(_ENV, self._code):
            return
        for found in _SCHEMA.finditer(self._code):
            optional = bool(_OPTIONAL.search(f".{found[2]}"))
            yield Read(found[1], self._line(found.start()), optional)
        for found in _REQUIRED.finditer(self._code) if self._uses_loader else ():
            for name in re.findall(rf"[\"'`]({NAME})[\"'`]", found[1]):
                yield Read(name, self._line(found.start()))

    def _asked(self, helper: str) -> Iterator[Read]:
        called = rf"(?<![\w$.]){re.escape(helper)}\(\s*[\"'`]({NAME})[\"'`]\s*([,)])"
        for found in re.finditer(called, self._code):
            has_default = found[2] == "," or bool(_DEFAULT.match(self._code, found.end()))
            yield Read(found[1], self._line(found.start()), has_default)

    def _line(self, position: int) -> int:
        return bisect(self._ends, position - 1) + 1 if position else 1
