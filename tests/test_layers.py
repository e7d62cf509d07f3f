"""The shape of the house, read off the syntax trees: who imports whom, what is heavy, what a module may be called."""

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "python" / "conv2d"

# From the top down. A module imports from its own row and the rows below it.
LAYERS = (
    ("cli", "serve"),
    ("evaluation", "packaging", "fleet", "benchmarks"),
    ("tasks",),
    ("training", "runtime"),
    ("models", "temporal", "clustering", "calibration", "synchrony"),
    ("data", "features", "metrics", "viz"),
    ("config", "logging", "errors", "files"),
)
RANK = {name: len(LAYERS) - row for row, names in enumerate(LAYERS) for name in names}
HEAVY = {
    "torch", "lightning", "torchmetrics", "safetensors", "sklearn", "scipy", "matplotlib", "pandas", "h5py", "pyarrow",
    "onnxruntime", "polars", "xarray", "actfast", "numba", "bottleneck", "hmmlearn",
}  # fmt: skip
# torch by nature: they may have heavy imports on top. Everything else has them inside functions.
TORCH_BY_NATURE = ("models", "training", "tasks", "data/augmentation.py")
# Rooms that must not load anything heavy however many imports away. Evaluation may: it drives what is torch by nature,
# and commands import it inside their functions.
HEAVY_WHEN_IMPORTED = (*TORCH_BY_NATURE, "evaluation")


class Import(NamedTuple):
    """An import of one module; ``on_top`` where it happens as soon as the importing module is imported."""

    target: str
    line: int
    on_top: bool


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree, name, is_package):
    found = []

    def visit(node, on_top):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for inner in node.body:
                visit(inner, False)
            for inner in node.orelse:
                visit(inner, on_top)
            return
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, on_top) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = name.split(".")[: len(name.split(".")) - node.level + is_package]
                base = ".".join([*parent, base] if base else parent)
            # What is taken from a package may be a module of it.
            found.extend(Import(f"{base}.{alias.name}", node.lineno, on_top) for alias in node.names)
        inside = on_top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(tree, True)
    return found


def imports_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return imports(tree, name_of(path), path.name == "__init__.py")


def room(name):
    """The part of the package that a module belongs to; nothing for the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "conv2d" and len(parts) > 1 else ""


def lies_in(relative, places):
    return any(relative == place or relative.startswith(f"{place}/") for place in places)


def violations(path, found):
    """Say what is wrong with the imports of the module at a path, taken by themselves."""
    relative = path.relative_to(PACKAGE).as_posix()
    own = room(name_of(path))
    wrong = []
    for target, line, on_top in found:
        where = f"{relative}:{line}"
        other = room(target)
        if own and other and RANK.get(other, 0) > RANK[own]:
            wrong.append(f"{where}: {own} imports {target}, which is above it")
        if own == "tasks" and other == "tasks" and relative.count("/") == 2:
            mine, theirs = relative.split("/")[1], target.split(".")[2]
            if theirs != mine and (PACKAGE / "tasks" / theirs).is_dir():
                wrong.append(f"{where}: the task {mine} imports the task {theirs}")
        if on_top and target.split(".")[0] in HEAVY and not lies_in(relative, TORCH_BY_NATURE):
            wrong.append(f"{where}: {target} is heavy; import it inside the function that needs it")
    return wrong


def loaded_with(name, on_top_of):
    """Modules that are loaded when one is imported, each with the module that imports it first."""
    first = {name: ""}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        for target in on_top_of.get(current, ()):
            # Importing a.b.c imports a and a.b; a name that is taken from a module is no module of its own.
            parts = target.split(".")
            for n in range(1, len(parts) + 1):
                loaded = ".".join(parts[:n])
                if loaded not in first and (loaded in on_top_of or loaded in HEAVY):
                    first[loaded] = current
                    waiting.append(loaded)
    return first


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way_and_heavy_ones_wait(path):
    own = room(name_of(path))
    assert not own or own in RANK, f"{own} has no place in the layers; give it one in LAYERS"
    assert violations(path, imports_of(path)) == []


def test_what_is_light_loads_nothing_heavy_however_far_away():
    on_top_of = {name_of(path): [i.target for i in imports_of(path) if i.on_top] for path in modules()}
    told = []
    for path in modules():
        if lies_in(path.relative_to(PACKAGE).as_posix(), HEAVY_WHEN_IMPORTED):
            continue
        first = loaded_with(name_of(path), on_top_of)
        for heavy in sorted(HEAVY & set(first)):
            chain = [heavy]
            while first[chain[-1]]:
                chain.append(first[chain[-1]])
            told.append(" <- ".join(chain))
    assert told == []


def test_no_module_is_called_utils():
    vague = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert [name_of(path) for path in modules() if vague & set(name_of(path).split("."))] == []


def test_every_folder_is_a_package():
    assert [folder for folder in {path.parent for path in modules()} if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize(
    ("place", "text", "told"),
    [
        ("data/x.py", "from conv2d.training import fit", "data imports conv2d.training.fit, which is above it"),
        ("data/x.py", "def f():\n    import conv2d.cli.main", "x.py:2: data imports conv2d.cli.main, which is above"),
        ("data/x.py", "from ..evaluation import y", "data imports conv2d.evaluation.y, which is above it"),
        ("data/__init__.py", "from ..cli import y", "data imports conv2d.cli.y, which is above it"),
        ("data/x.py", "if TYPE_CHECKING:\n    from conv2d.tasks import y", "which is above it"),
        ("config/x.py", "from conv2d.data import y", "config imports conv2d.data.y, which is above it"),
        ("data/x.py", "import torch.nn", "torch.nn is heavy"),
        ("data/x.py", "try:\n    from scipy import signal\nexcept ImportError:\n    raise", "scipy.signal is heavy"),
        ("data/x.py", "class A:\n    import pandas", "pandas is heavy"),
        ("evaluation/x.py", "import sklearn", "sklearn is heavy"),
        ("tasks/behavior/x.py", "from conv2d.evaluation import y", "tasks imports conv2d.evaluation.y, which is above"),
        ("data/x.py", "from conv2d.data.recording import Recording\nfrom conv2d.errors import DataError", ""),
        ("data/x.py", "if TYPE_CHECKING:\n    import torch", ""),
        ("data/x.py", "def f():\n    import torch", ""),
        ("models/x.py", "import torch", ""),
        ("data/augmentation.py", "import torch", ""),
        ("cli/x.py", "def f():\n    from conv2d.training import fit", ""),
    ],
)
def test_the_rules_find_what_they_forbid(place, text, told):
    path = PACKAGE / place
    found = imports(ast.parse(text), name_of(path), path.name == "__init__.py")
    wrong = violations(path, found)
    assert (told in "\n".join(wrong)) if told else (wrong == [])
    assert bool(wrong) == bool(told)


def test_what_is_loaded_far_away_is_found():
    on_top_of = {
        "conv2d": [],
        "conv2d.cli": [],
        "conv2d.cli.x": ["conv2d.data.y.name", "json"],
        "conv2d.data": ["conv2d.data.z"],
        "conv2d.data.y": [],
        "conv2d.data.z": ["torch.nn"],
    }
    first = loaded_with("conv2d.cli.x", on_top_of)
    assert (first["torch"], first["conv2d.data.z"], first["conv2d.data"]) == (
        "conv2d.data.z", "conv2d.data", "conv2d.cli.x",
    )  # fmt: skip
    assert "json" not in first
