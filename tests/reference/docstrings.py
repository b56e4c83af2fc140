"""Read the docstrings of a class's attributes, which Python does not keep."""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise


@cache
def read_docstrings(of: type) -> dict[str, str]:
    """Return the docstrings that follow a class's attributes, by their names."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
    assert isinstance(tree.body[0], ast.ClassDef)
    body = tree.body[0].body
    return {
        here.target.id: inspect.cleandoc(after.value.value)
        for here, after in pairwise(body)
        if isinstance(here, ast.AnnAssign)
        and isinstance(here.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }
