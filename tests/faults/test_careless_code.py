"""Code that might get away with it: it exits, skips, replaces its judge, or brings a configuration. Never a pass.

Each fault first fools plain pytest, which runs the same suites on the same package.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coursecli.check.results import CheckResult
from coursecli.course.catalogue import load_course
from tests.checking import Shop, only

FIRST = "test_average_of_three_prices"
WRONG = "if not prices:\n    raise ValueError\nreturn 0.0"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def plain_pytest(shop: Shop, root: Path, **variables: str) -> int:
    """The exit code of pytest, as somebody would type it in the learner's folder."""
    suites = [str(path) for path in shop.course.lesson("1").suites]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", *suites],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), **variables},
        capture_output=True,
        timeout=120,
    ).returncode


def assert_refused(result: CheckResult, *kinds: str) -> None:
    assert not result.passed
    assert not result.task_passed("average")
    found = {test.outcome for test in result.tests} | ({result.problem.kind} if result.problem else set())
    assert found & set(kinds), f"{found} instead of {kinds}"


IN_A_CALL = {
    "os-exit": ("import os\nos._exit(0)", "crashed"),
    "pytest-skip": ("import pytest\npytest.skip('later')", "tampered"),
    "pytest-xfail": ("import pytest\npytest.xfail('known')", "tampered"),
    "pytest-exit": ("import pytest\npytest.exit('done', returncode=0)", "tampered"),
}


@pytest.mark.parametrize(("code", "kind"), IN_A_CALL.values(), ids=IN_A_CALL)
def test_leaving_in_a_call(shop: Shop, code: str, kind: str):
    root = shop.package(average=code)
    assert plain_pytest(shop, root) == 0
    result = shop.check(root)
    assert_refused(result, kind)
    assert only(result, FIRST).outcome == kind


@pytest.mark.parametrize("code", ["import sys\nsys.exit(0)", "raise KeyboardInterrupt"], ids=["sys-exit", "interrupt"])
def test_leaving_by_an_exception_does_not_end_the_run(shop: Shop, code: str):
    """A runner that believes the exit code of its own process would be fooled by the first."""
    root = shop.package(average=code)
    call = subprocess.run(
        [sys.executable, "-c", "from toyshop.prices import average; average([1.0])"],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
    )
    assert call.returncode in (0, -2, 130)
    result = shop.check(root)
    assert_refused(result, "tampered")
    test = only(result, FIRST)
    assert test.error is not None
    assert test.error.frames[-1].file == "toyshop/prices.py"
    assert only(result, "test_add_puts_items_at_the_end").outcome == "passed"


AT_IMPORT = {
    "os-exit": "import os\nos._exit(0)",
    "sys-exit": "import sys\nsys.exit(0)",
    "pytest-exit": "import pytest\npytest.exit('done', returncode=0)",
    "module-skip": "import pytest\npytest.skip('later', allow_module_level=True)",
    "importorskip": "import pytest\npytest.importorskip('not_installed')",
}


@pytest.mark.parametrize("code", AT_IMPORT.values(), ids=AT_IMPORT)
def test_leaving_at_import(shop: Shop, code: str):
    result = shop.check(shop.package(prices_py=code))
    assert_refused(result, "tampered", "crashed")
    assert {test.outcome for test in result.tests} == {"not_run"}


@pytest.mark.parametrize("where", ["average", "prices_py"])
def test_emptying_the_imported_modules_is_said_to_be_the_codes_doing(shop: Shop, where: str):
    result = shop.check(shop.package(**{where: "import sys\nsys.modules.clear()"}))
    assert_refused(result, "tampered")
    assert result.problem is not None
    assert "emptied sys.modules" in result.problem.summary


def test_plain_pytest_is_fooled_by_leaving_at_import(shop: Shop):
    assert plain_pytest(shop, shop.package(prices_py=AT_IMPORT["os-exit"])) == 0


REPLACED = {
    "the-kit": "from coursecli.expect import kit\nkit.expect_close = lambda *a, **k: None",
    "inside-the-kit": "import coursecli.expect.outcome as o\nfrom coursecli.expect import close\n"
    "close.failed = lambda *a, **k: o.passed()",
    "code-of-the-kit": "from coursecli.expect import outcome\n"
    "def failed(failure, cause=None): return None\noutcome.failed.__code__ = failed.__code__",
    "pytest-runner": "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None",
    "pluggy": "import pluggy._hooks\npluggy._hooks.HookCaller.__call__ = lambda self, **k: None",
    "a-built-in": "import builtins\nbuiltins.abs = lambda x: 0",
    "mathematics": "import math\nmath.isclose = lambda *a, **k: True",
}


@pytest.mark.parametrize("code", REPLACED.values(), ids=REPLACED)
def test_replacing_what_judges(shop: Shop, code: str):
    assert_refused(shop.check(shop.package(average=WRONG, prices_py=code)), "tampered", "crashed")


@pytest.mark.parametrize("code", [REPLACED["the-kit"], REPLACED["pytest-runner"]], ids=["the-kit", "pytest-runner"])
def test_plain_pytest_is_fooled_by_a_replacement(shop: Shop, code: str):
    assert plain_pytest(shop, shop.package(average=WRONG, prices_py=code)) == 0


def test_replacing_in_a_call(shop: Shop):
    """The first test would still fail, those after it would not."""
    code = "import math\nmath.isclose = lambda *a, **k: True\nreturn 4.5"
    result = shop.check(shop.package(average=code))
    assert_refused(result, "tampered")
    assert result.problem is not None
    assert "math.isclose" in result.problem.summary
    assert not result.task_passed("basket-total")


SUITE_NAMES = """
import gc
for thing in gc.get_objects():
    if isinstance(thing, dict) and thing.get("__name__", "").endswith(("basic_test", "advanced_test")):
        for name in [name for name in thing if name.startswith("expect")]:
            thing[name] = lambda *a, **k: None
"""


def assert_suite_names_are_looked_after(result: CheckResult):
    assert_refused(result, "tampered")
    assert result.problem is not None
    assert "_test.expect" in result.problem.summary


def test_replacing_the_names_in_the_suites(shop: Shop):
    assert_suite_names_are_looked_after(shop.check(shop.package(average=SUITE_NAMES + "return 4.5")))


def test_replacing_the_names_in_the_suites_at_import(shop: Shop):
    """Where a suite imports the kit first and the learner's package after it."""
    suite = shop.course.lesson("1").suites[0]
    text, kit = suite.read_text(encoding="utf-8"), "from coursecli.expect import expect_close, expect_equal\n"
    assert kit in text
    suite.write_text(kit + text.replace(kit, ""), encoding="utf-8")
    assert shop.check(shop.package()).passed
    assert_suite_names_are_looked_after(shop.check(shop.package(baskets_py=SUITE_NAMES)))


def test_an_object_that_equals_everything(shop: Shop):
    code = """
zero = 0.0
class Equal(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __sub__(self, other): return 0.0
    def __rsub__(self, other): return 0.0
    def __float__(self): return self
return Equal(zero)
"""
    root = shop.package(average=code)
    call = "from toyshop.prices import average; assert average([2.0]) == 2.0 and abs(average([2.0]) - 2.0) < 1e-9"
    assert subprocess.run([sys.executable, "-c", call], env={**os.environ, "PYTHONPATH": str(root)}).returncode == 0
    assert_refused(shop.check(root), "failed", "error")


def test_forged_records(shop: Shop):
    """Lines as the worker writes them, on stdout and on every descriptor that can be written to; without the token."""
    code = """
import os
line = b'{"event":"finished","token":"","result":{"id":"basic::test_average_of_three_prices","suite":"basic",'
line += b'"task":"average","title":"","outcome":"passed"}}\\n{"event":"footer","token":"","finished":11}\\n'
for descriptor in range(1, 30):
    try:
        os.write(descriptor, b'\\n' + line)
    except OSError:
        pass
os._exit(0)
"""
    result = shop.check(shop.package(average=code))
    assert_refused(result, "crashed")
    assert only(result, FIRST).outcome == "crashed"


def test_forged_words(shop: Shop):
    code = "import os\nos.write(1, b'===== 11 passed in 0.01s =====\\n')\nos._exit(0)"
    root = shop.package(average=code)
    assert plain_pytest(shop, root) == 0
    assert_refused(shop.check(root), "crashed")


def test_a_test_that_evaluates_nothing_is_no_pass(shop: Shop):
    """The learner's code rewrites the suite's own function while it is imported."""
    code = """
import sys
frame = sys._getframe()
while frame and not frame.f_code.co_filename.endswith("_test.py"):
    frame = frame.f_back
if frame:
    import pytest
    class Names(dict): pass
    frame.f_globals["expect_close"] = lambda *a, **k: None
"""
    result = shop.check(shop.package(average=WRONG, prices_py=code))
    assert not result.task_passed("average")


WORKSPACE_FILES = {
    "conftest.py": "import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_pyfunc_call(pyfuncitem): return True\n",
    "pytest.ini": "[pytest]\naddopts = --collect-only\n",
    "sitecustomize.py": "import os\nos._exit(0)\n",
    "usercustomize.py": "import os\nos._exit(0)\n",
    "pytest.py": "import os\nos._exit(0)\n",
    "random.py": "import os\nos._exit(0)\n",
    "msgspec.py": "import os\nos._exit(0)\n",
    "coursecli/__init__.py": "import os\nos._exit(0)\n",
    "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--collect-only'\n",
}


@pytest.mark.parametrize("name", WORKSPACE_FILES)
def test_files_of_the_workspace_that_python_or_pytest_would_pick_up(
    shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch
):
    root = shop.package()
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(WORKSPACE_FILES[name], encoding="utf-8")
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", str(root))
    assert shop.check(root).passed, "right code passes"
    (root / "toyshop" / "prices.py").write_text(
        (shop.package(average=WRONG) / "toyshop" / "prices.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    result = shop.check(root)
    assert not result.passed, "wrong code fails"
    assert only(result, FIRST).outcome == "failed"


@pytest.mark.parametrize("name", ["conftest.py", "sitecustomize.py", "pytest.py", "pyproject.toml"])
def test_plain_pytest_picks_them_up(shop: Shop, name: str):
    root = shop.package(average=WRONG)
    (root / name).write_text(WORKSPACE_FILES[name], encoding="utf-8")
    if name in ("conftest.py", "pyproject.toml"):  # they count where the tests are
        (shop.course.root / name).write_text(WORKSPACE_FILES[name], encoding="utf-8")
    assert plain_pytest(shop, root) == 0


ENVIRONMENT = {
    "PYTEST_ADDOPTS": "--collect-only",
    "PYTEST_PLUGINS": "not_there",
    "PYTHONSTARTUP": "/not/there.py",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
}


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_the_environment(shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch):
    root, wrong = shop.package(), shop.package(average=WRONG)
    if name == "PYTEST_ADDOPTS":
        assert plain_pytest(shop, wrong, **{name: ENVIRONMENT[name]}) == 0
    monkeypatch.setenv(name, ENVIRONMENT[name])
    assert shop.check(root).passed
    assert only(shop.check(wrong), FIRST).outcome == "failed"


@pytest.mark.parametrize("name", ["solutions", "solutions.prices", "coursecli._content.solutions.model.norm"])
def test_the_solutions_cannot_be_imported(shop: Shop, name: str):
    """In a checkout they stand beside the course, on sys.path when it is installed editable; a wheel carries them."""
    root = shop.package(average=f"import importlib\nreturn importlib.import_module({name!r})")
    (root / "solutions").mkdir()
    (root / "solutions" / "__init__.py").write_text("", encoding="utf-8")
    test = only(shop.check(root), FIRST)
    assert test.outcome == "error"
    assert test.error is not None
    assert "the solutions cannot be imported" in test.error.message


def test_a_shortcut_that_only_shows_when_it_runs(shop: Shop):
    code = "import importlib\nreturn getattr(importlib.import_module('statis' + 'tics'), 'me' + 'an')(prices)"
    test = only(shop.check(shop.package(average=code)), FIRST)
    assert test.outcome == "error"
    assert test.error is not None
    assert test.error.type == "ForbiddenShortcut"
    assert "Write the sum and the division yourself." in test.error.message
    assert test.error.frames[-1].file == "toyshop/prices.py"


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    m.mean(prices)\nexcept BaseException:\n    pass\nreturn 4.5",
        "return eval('m.mean(prices)', {'m': m, 'prices': prices})",
    ],
    ids=["swallowed", "through-eval"],
)
def test_a_shortcut_that_hides(shop: Shop, code: str):
    hidden = "import importlib\nm = importlib.import_module('statis' + 'tics')\n"
    test = only(shop.check(shop.package(average=hidden + code)), FIRST)
    assert test.error is not None
    assert test.error.type == "ForbiddenShortcut"


def test_a_shortcut_in_a_file_of_the_learners_own(shop: Shop):
    root = shop.package(average="from toyshop.mine import middle\nreturn middle(prices)")
    (root / "toyshop" / "mine.py").write_text("from statistics import fmean as middle\n", encoding="utf-8")
    direct = shop.check(root)
    (root / "toyshop" / "mine.py").write_text(
        "import statistics\ndef middle(prices):\n    return statistics.fmean(prices)\n", encoding="utf-8"
    )
    wrapped = shop.check(root)
    for result in (direct, wrapped):
        test = only(result, FIRST)
        assert test.error is not None
        assert test.error.type == "ForbiddenShortcut"


@pytest.mark.parametrize(
    ("average", "mine"),
    [
        ("import importlib\nreturn importlib.import_module('color' + 'sys')", ""),
        ("from toyshop.mine import helper\nreturn helper(prices)", "import colorsys\nhelper = sum\n"),
        ("try:\n    __import__('color' + 'sys')\nexcept BaseException:\n    pass\nreturn 4.5", ""),
    ],
    ids=["by name", "in a file of their own", "swallowed"],
)
def test_a_forbidden_package_is_refused_at_its_import(shop: Shop, average: str, mine: str):
    manifest = shop.course.lesson("1").folder / "lesson.yaml"
    rule = "forbidden:\n  - name: colorsys\n    reason: Do it by hand.\n"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("forbidden:\n", rule), encoding="utf-8")
    shop.course = load_course(shop.course.root)
    root = shop.package(average=average)
    (root / "toyshop" / "mine.py").write_text(mine, encoding="utf-8")
    test = only(shop.check(root), FIRST)
    assert test.error is not None
    assert test.error.type == "ForbiddenShortcut"
    assert "Do it by hand." in test.error.message
