"""Rules of the house."""

import ast
import os
import re
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from support.locks import pinned

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
PACKAGE = PLUGINS / "airflow_kombo"
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SOURCES = sorted([*PLUGINS.rglob("*.py"), *(ROOT / "tools").rglob("*.py")])
LOCKS = sorted(
    [
        *ROOT.glob("requirements*.txt"),
        *ROOT.glob("docker/requirements*.txt"),
        *ROOT.glob("tools/**/*.txt"),
    ]
)

VOCABULARY = {"exceptions", "statuses", "delivery_key", "suggestions"}

# The wings of the house, each with the wings that it may import beside the vocabulary.
WINGS = {
    "operators": {
        "airflow_compat",
        "reconciliation",
        "delivery",
        "hooks",
        "planning",
        "rows",
        "observability",
        "ledger",
        "kombo_api",
        "database",
    },
    "reconciliation": {"throttle", "ledger", "kombo_api", "database"},
    "delivery": {
        "hooks",
        "planning",
        "rows",
        "observability",
        "throttle",
        "ledger",
        "kombo_api",
        "database",
    },
    "planning": {"rows", "observability", "ledger", "kombo_api", "database"},
    "rows": {"ledger", "kombo_api", "database"},
    "observability": {"airflow_compat", "ledger", "kombo_api", "database"},
    "throttle": {"kombo_api"},
    "ledger": {"kombo_api", "database"},
    "hooks": {"airflow_compat", "kombo_api"},
    "web": {"airflow_compat", "airflow_plans", "ledger", "kombo_api", "database"},
    "timetables": {"airflow_compat"},
    "distribution": {"hooks"},
    "include_folder": set(),
    "airflow_compat": set(),
    "airflow_plans": set(),
    "kombo_api": set(),
    "database": {"airflow_compat"},
}

# Modules that decide a row's outcome: no Airflow, no I/O.
CORE = {
    *VOCABULARY,
    "kombo_api.verdicts",
    "kombo_api.writes",
    "kombo_api.result_link",
    "kombo_api.request",
    "kombo_api.response",
    "rows.row_keys",
    "rows.sandbox",
    "rows.templates",
    "rows.row_mapping",
    "rows.result_link_mapping",
}


def place(path):
    """Return a path relative to the checkout."""
    return str(path.relative_to(ROOT))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path):
    """Return the package's modules that a module imports, anywhere in the file."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import fails when Airflow loads plugins"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    known = {name.removeprefix("airflow_kombo.") for name in names}
    return known & {module_name(other) for other in PACKAGE.rglob("*.py")}


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


IMPORTS = {module_name(path): imported(path) for path in PACKAGE.rglob("*.py")}


def reached(module):
    """Return all modules that a module needs, also indirectly."""
    found, todo = set(), [module]
    while todo:
        new = IMPORTS[todo.pop()] - found
        found |= new
        todo += new
    return found


def project_files():
    """Yield the files that git would keep."""
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().split()} | {".git"}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ignored]
        yield from (Path(folder, name) for name in files if name not in ignored)


def specified_by(path):
    return [
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]


@pytest.mark.parametrize("module", sorted(CORE))
def test_the_core_imports_neither_airflow_nor_io(module):
    """Modules that decide a row's outcome run without Airflow, network or database."""
    code = f"import sys, airflow_kombo.{module}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(PLUGINS)}
    loaded = subprocess.run(  # noqa: S603 - our own command
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert f"airflow_kombo.{module}" in loaded
    heavy = {"airflow", "aiohttp", "sqlalchemy", "requests", "httpx", "kombo"}
    assert not heavy & {name.partition(".")[0] for name in loaded}


def wing_of(module):
    return module.partition(".")[0]


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_imports_go_one_way(module):
    """A module imports its own wing, the vocabulary, and the wings in the table."""
    wing = wing_of(module)
    allowed = WINGS.get(wing, set()) | VOCABULARY | {wing, ""}
    assert {wing_of(other) for other in IMPORTS[module]} <= allowed


def airflows_modules(path):
    """Return the names of Airflow's modules that a module imports, anywhere in it."""
    nodes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ImportFrom)]
    named = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
    return {name for name in named if name.startswith("airflow.")}


def test_what_is_private_to_airflow_is_in_two_modules():
    """Only `airflow_compat` and `airflow_plans` import modules that are not public."""
    private = re.compile(
        r"airflow[.](.*[.]_|_|api_fastapi|serialization|sdk[.](definitions|execution_time|bases|observability))"
    )
    found = {
        (module_name(path), name)
        for path in PACKAGE.rglob("*.py")
        for name in airflows_modules(path)
        if private.match(name)
    }
    assert {module for module, _ in found} == {"airflow_compat", "airflow_plans"}


def test_every_module_has_a_place():
    """Each module is in a wing of the table, or in the vocabulary."""
    assert {wing_of(module) for module in IMPORTS} - {""} == {*WINGS, *VOCABULARY}


def test_no_module_needs_itself():
    """Imports have no cycle, not even for types."""
    order = list(TopologicalSorter(IMPORTS).static_order())
    assert {"exceptions", "delivery.run", "operators.result_link"} <= set(order)


def test_the_page_only_reads():
    """The page imports the tables, and no module that writes them or sends."""
    page = [module for module in IMPORTS if module.startswith("web.")]
    assert page
    for module in page:
        assert not reached(module) & {"ledger.claims", "ledger.runs", "ledger.statements"}


def test_no_module_is_called_as_another_one():
    """No file of ours, except the hook's, has the name of another module."""
    stems = {path.stem for path in PACKAGE.rglob("*.py")} - {"__init__", "kombo"}
    assert not stems & {*sys.stdlib_module_names, *packages_distributions()}


@pytest.mark.parametrize("syntax", ["glob", "regexp"])
def test_airflow_runs_none_of_our_modules_where_an_ignore_file_is_lost(tmp_path, syntax):
    """Without plugins/.airflowignore no module is loaded twice, and none is replaced."""
    plugins = shutil.copytree(PLUGINS, tmp_path / "plugins")
    (plugins / ".airflowignore").unlink()
    code = (
        "import sys; from airflow import plugins_manager as manager; before = dict(sys.modules);"
        "errors = manager._load_plugins_from_plugin_directory("
        "plugins_folder=sys.argv[1], load_examples=False, ignore_file_syntax=sys.argv[2])[1];"
        "replaced = [name for name in before if sys.modules.get(name) is not before[name]];"
        "print('errors', errors, 'replaced', replaced);"
        "print(*{name for name in sys.modules if name not in before and '.' not in name})"
    )
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
    }
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code, str(plugins), syntax],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report, loaded = done.stdout.splitlines()[-2:]
    assert report == "errors {} replaced []"
    ours = {path.stem for path in (plugins / "airflow_kombo").rglob("*.py")} - {"__init__"}
    assert not ours & set(loaded.split())
    assert "airflow_kombo_plugin" in loaded or "airflow_kombo" in loaded


def test_airflow_executes_one_plugin_file_only():
    """Airflow runs plugin files under their bare names: all of ours but one are hidden."""
    lines = (PLUGINS / ".airflowignore").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["airflow_kombo/"]
    assert [path.name for path in PLUGINS.glob("*.py")] == ["airflow_kombo_plugin.py"]
    assert {path.name for path in PLUGINS.iterdir() if path.is_dir()} <= {
        "airflow_kombo",
        "__pycache__",
    }


def test_there_is_one_plugin():
    """The registration module defines the only AirflowPlugin."""
    plugins = [
        path.name
        for path in PLUGINS.rglob("*.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and "AirflowPlugin" in map(ast.unparse, node.bases)
    ]
    assert plugins == ["airflow_kombo_plugin.py"]


def test_no_file_names_a_place_that_only_one_machine_knows():
    """No file names a package index, or a path beside the checkout."""
    # The character classes keep this file from matching itself.
    forbidden = re.compile(
        r"pypi[.]|python[h]osted|artifactor[y]|(?<!emit-)inde[x]-url|[.][.]/share[d]|/work/[ms]"
    )
    found = {}
    for path in project_files():
        match = forbidden.search(path.read_text(encoding="utf-8", errors="replace"))
        if match:
            found[place(path)] = match.group()
    assert found == {}


@pytest.mark.parametrize("lock", LOCKS, ids=place)
def test_requirements_are_pinned_exactly(lock):
    """Each requirement is one version with hashes, and no index is named."""
    found = pinned(lock)
    assert found
    for requirement, hashes in found:
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        assert "*" not in specifier.version
        assert requirement.url is None
        assert hashes
        assert [one for one in hashes if not re.fullmatch("sha256:[0-9a-f]{64}", one)] == []


def attributes(node):
    """Return the attributes of a class, without the parameters of an operator."""
    found = {
        one.attr
        for one in ast.walk(node)
        if isinstance(one, ast.Attribute)
        and isinstance(one.ctx, ast.Store)
        and ast.unparse(one.value) == "self"
    }
    if not node.name.endswith("Operator"):
        return found
    return found - {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}


def test_files_are_short():
    """A file of plugins/ or tools/ has at most 300 lines."""
    lengths = {place(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name for name, length in lengths.items() if length > 300} == set()


def test_classes_are_short():
    """A class has at most 200 lines and 12 attributes."""
    found = [node for path in SOURCES for node in ast.walk(tree(path))]
    classes = [node for node in found if isinstance(node, ast.ClassDef)]
    long = {one.name for one in classes if one.end_lineno - one.lineno >= 200}
    assert long == set()
    assert {one.name for one in classes if len(attributes(one)) > 12} == set()


FOLDERS = ("dags", "plugins", "tests", "tools")
RIDDLES = {"Give", "How", "Say", "See", "Tell", "What", "When", "Where", "Whether"}
PRONOUNS = re.compile(r"\b(it|its|that|what|which|who|whose|whom|whether)\b", re.IGNORECASE)


def first_lines(path):
    """Return the first line of each docstring of a file."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]
    return [text.splitlines()[0] for text in map(ast.get_docstring, nodes) if text]


def is_riddle(line):
    word = re.match(r"\w*", line).group()
    return word in RIDDLES or word.removesuffix("s") in RIDDLES


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_are_plain(folder):
    """First lines begin with a plain verb or noun, are short, and avoid pronouns."""
    lines = [line for path in (ROOT / folder).rglob("*.py") for line in first_lines(path)]
    assert lines
    assert [line for line in lines if is_riddle(line)] == []
    assert [line for line in lines if len(line) > 88] == []
    leaning = [line for line in lines if PRONOUNS.search(line)]
    assert len(leaning) <= len(lines) / 5, "\n".join(leaning)


@pytest.mark.parametrize("path", TESTS, ids=place)
def test_no_test_imports_a_test(path):
    """Helpers of several tests are in tests/support."""
    modules = [
        name
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    ]
    parts = {part for module in modules for part in module.split(".")}
    assert not parts & {other.stem for other in TESTS if other.parent.name != "support"}


def test_ci_runs_all_tests():
    """Each test target but the matrix is in .ci/run, and the workflow runs this file."""
    targets = set(re.findall(r"^(test[a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets.remove("test-matrix")  # it installs each Airflow on each Python, for an hour
    called = set(
        re.findall(r"^(?:in_time )?make (\S+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    )
    assert {"test", "test-airflow"} <= targets <= called
    assert "run: .ci/run\n" in (ROOT / ".github" / "workflows" / "ci.yaml").read_text()


def test_the_readme_is_short():
    """The README has at most 150 lines: everything else is in docs/."""
    lengths = [len(path.read_text().splitlines()) for path in ROOT.glob("README.md")]
    assert all(length <= 150 for length in lengths)


@pytest.mark.parametrize(
    "path",
    [path for path in TESTS if path.name.startswith("test_")],
    ids=place,
)
def test_every_test_says_in_one_line_what_it_specifies(path):
    """A test's docstring is one line of the product's specification."""
    tests = specified_by(path)
    assert tests
    unsaid = [test.name for test in tests if len((ast.get_docstring(test) or "").splitlines()) != 1]
    assert unsaid == []


@pytest.mark.parametrize("path", TESTS, ids=place)
def test_no_test_sleeps(path):
    """A test waits for a condition, not for a time: only `sleep(0)` is allowed."""
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    sleeps = [
        ast.unparse(call)
        for call in calls
        if ast.unparse(call.func).rpartition(".")[2] == "sleep"
        and [ast.unparse(argument) for argument in call.args] != ["0"]
    ]
    assert sleeps == []
