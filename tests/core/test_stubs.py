"""The type stubs, the docstrings and the compiled module say the same."""

import ast
import doctest
from pathlib import Path

import numpy as np
import pytest

import conv2d_core

STUBS = Path(__file__).parents[2] / "bindings" / "conv2d_core-stubs" / "__init__.pyi"
PUBLIC = sorted(name for name in dir(conv2d_core) if not name.startswith("_"))
CLASSES = [name for name in PUBLIC if isinstance(getattr(conv2d_core, name), type)]
FUNCTIONS = [name for name in PUBLIC if name not in CLASSES]
MEMBERS = [
    (name, member)
    for name in CLASSES
    for member in vars(getattr(conv2d_core, name))
    if member == "__init__" or not member.startswith("_")
]
METHODS = [pair for pair in MEMBERS if not isinstance(vars(getattr(conv2d_core, pair[0]))[pair[1]], property)]


def documented_signature(documented: object) -> list[str]:
    """Parameters in the first line of the docstring, which pybind11 writes from the binding."""
    line = str(documented.__doc__).splitlines()[0]
    arguments = line[line.index("(") + 1 : line.rindex(") ->")]
    return [argument.split(":")[0].strip() for argument in arguments.split(",") if argument]


def stubs() -> dict[str, ast.FunctionDef]:
    """The last definition of each function: of overloads any one has all the parameters."""
    tree = ast.parse(STUBS.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def class_stubs(name: str) -> tuple[ast.ClassDef, dict[str, ast.FunctionDef]]:
    tree = ast.parse(STUBS.read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return found, {node.name: node for node in found.body if isinstance(node, ast.FunctionDef)}


def test_stubs_have_the_functions_and_classes_of_the_module() -> None:
    assert sorted(stubs()) == FUNCTIONS
    tree = ast.parse(STUBS.read_text(encoding="utf-8"))
    assert sorted(node.name for node in tree.body if isinstance(node, ast.ClassDef)) == CLASSES
    assert conv2d_core.__version__


@pytest.mark.parametrize("name", CLASSES)
def test_classes_agree(name: str) -> None:
    stub, members = class_stubs(name)
    compiled = getattr(conv2d_core, name)
    assert ast.get_docstring(stub) == str(compiled.__doc__).splitlines()[0]
    assert sorted(members) == sorted(member for owner, member in MEMBERS if owner == name)
    test = doctest.DocTestParser().get_doctest(str(compiled.__doc__), {"np": np, name: compiled}, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize(("name", "member"), METHODS)
def test_parameters_of_methods_agree(name: str, member: str) -> None:
    stub = class_stubs(name)[1][member]
    assert documented_signature(getattr(getattr(conv2d_core, name), member)) == [one.arg for one in stub.args.args]


@pytest.mark.parametrize(("name", "member"), MEMBERS)
def test_summaries_of_members_agree(name: str, member: str) -> None:
    stub = class_stubs(name)[1][member]
    is_property = (name, member) not in METHODS
    assert is_property == any(ast.unparse(one) == "property" for one in stub.decorator_list)
    if member != "__init__":  # the class tells what it takes
        documented = str(getattr(getattr(conv2d_core, name), member).__doc__).splitlines()
        assert ast.get_docstring(stub) == documented[0 if is_property else 2]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_agree(name: str) -> None:
    compiled = documented_signature(getattr(conv2d_core, name))
    assert compiled == [argument.arg for argument in stubs()[name].args.args]


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
