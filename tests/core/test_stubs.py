"""The type stubs, the docstrings and the compiled module say the same."""

import ast
import doctest
import inspect
from pathlib import Path

import numpy as np
import pytest

import conv2d_core

STUBS = Path(__file__).parents[2] / "bindings" / "conv2d_core-stubs" / "__init__.pyi"
NAMES = sorted(name for name in dir(conv2d_core) if not name.startswith("_"))
CLASSES = [name for name in NAMES if isinstance(getattr(conv2d_core, name), type)]
FUNCTIONS = [name for name in NAMES if name not in CLASSES]
METHODS = [
    f"{name}.{method}"
    for name in CLASSES
    for method in sorted(vars(getattr(conv2d_core, name)))
    if method == "__init__" or not method.startswith("_")
]


def compiled(path: str) -> object:
    """What stands under `function`, `Class` or `Class.method` in the compiled module."""
    found: object = conv2d_core
    for name in path.split("."):
        found = inspect.getattr_static(found, name) if isinstance(found, type) else getattr(found, name)
    return found


def stubs() -> dict[str, list[ast.FunctionDef | ast.ClassDef]]:
    """All definitions of each function, class and method: of overloads the last one has all the parameters."""
    found: dict[str, list[ast.FunctionDef | ast.ClassDef]] = {}
    for node in ast.parse(STUBS.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.setdefault(node.name, []).append(node)
        for method in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(method, ast.FunctionDef):
                found.setdefault(f"{node.name}.{method.name}", []).append(method)  # type: ignore[union-attr]
    return found


def test_stubs_have_what_the_module_has() -> None:
    assert sorted(stubs()) == sorted(NAMES + METHODS)
    assert conv2d_core.__version__


@pytest.mark.parametrize("path", [path for path in FUNCTIONS + METHODS if not isinstance(compiled(path), property)])
def test_parameters_agree(path: str) -> None:
    signature = str(compiled(path).__doc__).splitlines()[0]  # which pybind11 writes from the binding
    arguments = signature[signature.index("(") + 1 : signature.rindex(") ->")]
    names = [argument.split(":")[0].strip() for argument in arguments.split(",") if argument]
    stub = stubs()[path][-1]
    assert isinstance(stub, ast.FunctionDef)
    assert names == [argument.arg for argument in stub.args.args]


@pytest.mark.parametrize("path", [path for path in NAMES + METHODS if not path.endswith(".__init__")])
def test_summaries_agree(path: str) -> None:
    text = str(compiled(path).__doc__).splitlines()
    has_signature = "." in path or path in FUNCTIONS
    summary = text[2] if has_signature and not isinstance(compiled(path), property) else text[0]
    assert (ast.get_docstring(stubs()[path][0]) or "").splitlines()[0] == summary


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name: str) -> None:
    names = {"np": np} | {other: getattr(conv2d_core, other) for other in NAMES}
    test = doctest.DocTestParser().get_doctest(str(getattr(conv2d_core, name).__doc__), names, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
