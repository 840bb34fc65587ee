"""The arrows between the modules, and the sizes that keep them readable."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "stargrav"
MODULES = sorted(ROOT.rglob("*.py"))

# each package may import those before it in the chain, and what is listed for it besides
CHAIN = ("physics", "observation", "data", "models", "diffusion", "training", "inference")
ARRAYS_ONLY = ("metrics", "plots")  # import nothing of the project but themselves and its nouns
NOUNS = (
    *("constants", "labels", "errors", "files", "named_lines"),
    *("abandoned", "processes", "progress", "ranks", "spectrum"),
)
ABOVE_ALL = (
    "cli",
    "commands",
    "dvc_process",
    "libraries",
    "page",
    "pipeline",
    "predictions",
    "report",
    "side_by_side",
    "stages",
    "__main__",
)
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
ONLY_IN = {
    "h5py": ("data/store.py", "data/tables.py"),
    "mlflow": ("experiments/run.py", "abandoned.py"),
}
LONGEST_MODULE, LONGEST_EXPERIMENT = 350, 60  # lines; of code, in a module


def relative(path):
    return path.relative_to(ROOT).as_posix()


def imports(path):
    """Full names of all modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{relative(path)}: relative import"
            found |= {f"{node.module}.{name.name}" for name in node.names} | {node.module}
    return found


def part(name):
    """The package or module of Stargrav that a full name belongs to, if any."""
    pieces = name.split(".")
    return pieces[1] if pieces[0] == "stargrav" and len(pieces) > 1 else None


def allowed(package):
    if package in NOUNS:
        return set(NOUNS)
    if package in CHAIN:
        return {*NOUNS, *CHAIN[: CHAIN.index(package) + 1]}
    if package in ARRAYS_ONLY:
        return {*NOUNS, package}
    if package == "experiments":
        return {*NOUNS, *CHAIN, *ARRAYS_ONLY, "experiments"}
    return None  # above all: whatever it likes


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_arrows_run_one_way(path):
    package = relative(path).split("/")[0].removesuffix(".py")
    may = allowed(package)
    if may is None:
        assert package in (*ABOVE_ALL, "settings", "__init__"), f"{package}: where does it belong?"
        return
    wrong = {part(name) for name in imports(path)} - {None} - may
    assert not wrong, f"{relative(path)} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize(("library", "places"), ONLY_IN.items())
def test_one_module_speaks_to_each_store(library, places):
    found = {relative(p) for p in MODULES if any(i.split(".")[0] == library for i in imports(p))}
    assert found == set(places)


def test_no_module_is_named_after_nothing():
    named = {piece for path in MODULES for piece in relative(path).removesuffix(".py").split("/")}
    assert not named & FORBIDDEN_NAMES


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_are_short_and_say_what_they_are(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "needs its idea as docstring"
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = [
        ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)
    ]
    written = [line for line in path.read_text().splitlines() if line.strip()]
    code = len(written) - sum(len([x for x in doc.splitlines() if x.strip()]) for doc in docs)
    assert code <= LONGEST_MODULE, "a noun of its own is hidden in it"


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/**/*.py")), ids=relative)
def test_functions_of_experiments_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < LONGEST_EXPERIMENT, node.name


def test_an_experiment_that_trains_nothing_imports_no_training():
    """Each of dozens of stages is a process of its own; these libraries take seconds to import."""
    code = "import sys, stargrav.experiments as e, stargrav.experiments.run; e.registry()"
    shown = "print(*{'lightning', 'skops'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {shown}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
