"""By which names a file of Python has the environment and the loader's secrets."""

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

PACKAGE = "infisical_config"


@dataclass
class Names:
    """Names of a file.

    Attributes:
        environ: for `os.environ`.
        getenv: for `os.getenv`.
        configs: for what the loader gives.
        loads: for the function of the loader that gives them.
        modules: for the loader itself.
    """

    environ: set[str] = field(default_factory=set)
    getenv: set[str] = field(default_factory=set)
    configs: set[str] = field(default_factory=set)
    loads: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, nodes: Sequence[ast.AST], loading: Collection[str] = ()) -> "Names":
        """The names of a file, all of whose parts are given.

        Args:
            loading: the modules beside it that use the loader; their `config` is the loader's.
        """
        names = cls()
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                names._take(node, loading)
            elif isinstance(node, ast.Import):
                names.modules |= {a.asname or a.name for a in node.names if a.name == PACKAGE}
        assigned = (each for each in nodes if isinstance(each, ast.Assign))
        for each in assigned:
            if isinstance(each.value, ast.Call) and names.is_load(each.value.func):
                names.configs |= {to.id for to in each.targets if isinstance(to, ast.Name)}
        return names

    @property
    def uses_loader(self) -> bool:
        """Return whether the file takes something from the loader."""
        return bool(self.configs or self.loads or self.modules)

    def holds(self, node: ast.expr) -> bool:
        """Return whether an expression is the environment, or the loader's secrets."""
        is_environ = _is(node, "os", "environ") or _named(node, self.environ)
        return is_environ or self.is_config(node)

    def is_config(self, node: ast.expr) -> bool:
        """Return whether an expression is the loader's secrets."""
        return _named(node, self.configs) or any(_is(node, m, "config") for m in self.modules)

    def is_getenv(self, node: ast.expr) -> bool:
        """Return whether an expression is the function `os.getenv`."""
        return _is(node, "os", "getenv") or _named(node, self.getenv)

    def is_load(self, node: ast.expr) -> bool:
        """Return whether an expression is the function of the loader that gives secrets."""
        full = any(_is(node, module, "load") for module in self.modules)
        return full or _named(node, self.loads)

    def _take(self, node: ast.ImportFrom, loading: Collection[str]) -> None:
        module = node.module or ""
        for each in node.names:
            name = each.asname or each.name
            if module == "os" and each.name in ("environ", "getenv"):
                (self.environ if each.name == "environ" else self.getenv).add(name)
            elif module == PACKAGE and each.name in ("config", "load"):
                (self.configs if each.name == "config" else self.loads).add(name)
            elif each.name == "config" and module.rpartition(".")[2] in loading:
                self.configs.add(name)


def last(node: ast.expr) -> str:
    """The last word of an expression: `Field` of `pydantic.Field`; "" if it ends in none."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _named(node: ast.expr, names: Collection[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def _is(node: ast.expr, module: str, name: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == name and _named(node.value, (module,))
