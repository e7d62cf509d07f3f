"""The type stubs, the docstrings and the compiled module say the same."""

import ast
import doctest
from pathlib import Path

import numpy as np
import pytest

import conv2d_core

STUBS = Path(__file__).parents[2] / "bindings" / "conv2d_core-stubs" / "__init__.pyi"
FUNCTIONS = sorted(name for name in dir(conv2d_core) if not name.startswith("_"))


def documented_signature(name: str) -> str:
    """First line of the docstring, which pybind11 writes from the binding."""
    return str(getattr(conv2d_core, name).__doc__).splitlines()[0]


def stubs() -> dict[str, ast.FunctionDef]:
    """The last definition of each function: of overloads any one has all the parameters."""
    tree = ast.parse(STUBS.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_stubs_have_the_functions_of_the_module() -> None:
    assert sorted(stubs()) == FUNCTIONS
    assert conv2d_core.__version__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_agree(name: str) -> None:
    compiled = documented_signature(name)
    arguments = compiled[compiled.index("(") + 1 : compiled.rindex(") ->")]
    names = [argument.split(":")[0].strip() for argument in arguments.split(",") if argument]
    assert names == [argument.arg for argument in stubs()[name].args.args]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_summaries_agree(name: str) -> None:
    summary = str(getattr(conv2d_core, name).__doc__).splitlines()[2]
    tree = ast.parse(STUBS.read_text(encoding="utf-8"))
    first = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    assert ast.get_docstring(first) == summary


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_run(name: str) -> None:
    names = {"np": np} | {function: getattr(conv2d_core, function) for function in FUNCTIONS}
    test = doctest.DocTestParser().get_doctest(str(getattr(conv2d_core, name).__doc__), names, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
