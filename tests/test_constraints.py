"""What ``pip install -c constraints.txt '.[all]'`` installs is the same today and in a year."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[1]


def requirements() -> dict[str, Requirement]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    listed = [Requirement(text) for text in (*project["dependencies"], *(text for extra in extras for text in extra))]
    return {canonicalize_name(found.name): found for found in listed if found.name != project["name"]}


def pins() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if not line.startswith("#")]
    assert all(pinned)
    return {canonicalize_name(pin[1]): pin[2] for pin in pinned if pin}


def test_everything_that_the_package_and_its_tests_need_is_pinned_to_a_version_that_it_allows() -> None:
    allowed, pinned = requirements(), pins()
    assert set(pinned) == set(allowed)
    assert [name for name, version in pinned.items() if version not in allowed[name].specifier] == []
