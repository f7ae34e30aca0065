"""What is installed: the command, and every file that the package reads."""

import contextlib
import tomllib

from setuptools import Distribution

from seqmodels.commands import COMMANDS
from seqmodels.config_files import CONFIGS
from tests.command_line import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_a_wheel_holds_every_file_of_the_package():
    """Nothing is built: setuptools tells what it would copy."""
    with contextlib.chdir(ROOT):
        distribution = Distribution({"script_name": "setup.py"})
        distribution.parse_config_files(["pyproject.toml"])
        distribution.include_package_data = False  # else it looks what git knows, and writes it
        build = distribution.get_command_obj("build_py")
        build.ensure_finalized()
        copied = {str(file).partition("/lib/")[2] for file in build.get_outputs(False)}
    files = [
        *(file for file in (ROOT / "seqmodels").rglob("*") if file.is_file()),
        *(ROOT / "seqmodels/configs").glob("*"),
    ]
    files = {str(file.relative_to(ROOT)) for file in files if "__pycache__" not in file.parts}
    assert copied == files
    assert {"seqmodels/configs/recall.py", "seqmodels/report/page.js"} <= copied


def test_the_configs_of_the_package_are_those_of_the_checkout():
    assert CONFIGS.resolve() == ROOT / "configs"


def test_the_command_is_installed():
    assert PROJECT["scripts"] == {"seqmodels": "seqmodels.__main__:main"}
    assert "train" in COMMANDS
