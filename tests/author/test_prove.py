"""`dev check` on the toy course: a sound lesson is proved, and each way in which a suite can be unsound is reported."""

import shutil
from pathlib import Path

import msgspec
import pytest

from coursecli.author.prove import LessonProof, Verdict, _Bench, _settled, prove
from coursecli.check.results import CheckResult, Problem
from coursecli.check.run import check_lesson
from coursecli.course.catalogue import Course, Lesson, load_course

TOY = Path(__file__).resolve().parent.parent / "toy_course"


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return load_course(shutil.copytree(TOY, tmp_path / "toy", ignore=shutil.ignore_patterns("__pycache__")))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def prove_lesson(course: Course, reference: str) -> LessonProof:
    (proof,) = prove(course, [course.lesson(reference)])
    return proof


def faults(proof: LessonProof) -> dict[str, Verdict]:
    return {verdict.name: verdict for verdict in proof.verdicts if not verdict.ok}


def test_a_sound_course_is_proved(course: Course) -> None:
    heard: list[Verdict] = []
    proofs = prove(course, course.lessons, listener=heard.append)
    assert [proof.ok for proof in proofs] == [True, True], [faults(proof) for proof in proofs]
    assert all(proof.tests and proof.of("mistake") and proof.of("alternative") for proof in proofs)
    assert sorted(verdict.name for verdict in heard) == sorted(v.name for proof in proofs for v in proof.verdicts)


def test_a_wrong_reference_is_reported(course: Course) -> None:
    change(course.solutions_dir / "prices.py", "price * (1 - percent / 100)", "price * (1 - percent / 99)")
    fault = faults(prove_lesson(course, "1"))["the reference passes"]
    assert "discount" in fault.detail


def test_a_test_that_passes_on_the_stubs_is_reported(course: Course) -> None:
    suite = course.lesson("1").suites[1]
    suite.write_text(
        suite.read_text(encoding="utf-8")
        + '''

@pytest.mark.task("average")
def test_that_looks_at_nothing():
    """The function exists."""
    expect_equal(callable(average), True, what="average")
''',
        encoding="utf-8",
    )
    fault = faults(prove_lesson(course, "1"))["every test fails on the stubs"]
    assert "advanced::test_that_looks_at_nothing" in fault.detail


def test_a_mistake_that_no_test_catches_is_reported(course: Course) -> None:
    catalogue = course.lesson("1").folder / "mistakes.yaml"
    catalogue.write_text(
        catalogue.read_text(encoding="utf-8").replace(
            "accept:",
            """  - id: harmless
    task: average
    name: nothing wrong
    explanation: This is right. No test can catch it.
    symbol: average
    code: |
      _require_some(prices)
      return sum(prices) / len(prices)
accept:""",
            1,
        ),
        encoding="utf-8",
    )
    fault = faults(prove_lesson(course, "1"))["harmless"]
    assert not fault.caught
    assert "no test catches it" in fault.detail


def test_a_mistake_that_is_caught_but_not_named_is_reported(course: Course) -> None:
    change(
        course.lesson("1").suites[0],
        'lookalikes={"total-of-prices": 85.0}',
        "lookalikes={}",
    )
    fault = faults(prove_lesson(course, "1"))["total-of-prices"]
    assert fault.caught
    assert "named None" in fault.detail


def test_a_right_alternative_that_a_suite_refuses_is_reported(course: Course) -> None:
    catalogue = course.lesson("1").folder / "mistakes.yaml"
    catalogue.write_text(
        catalogue.read_text(encoding="utf-8")
        + """  - id: not-right-at-all
    task: average
    name: claims to be right
    symbol: average
    code: |
      return 7.0
""",
        encoding="utf-8",
    )
    assert "not-right-at-all" in faults(prove_lesson(course, "1"))


def test_a_fault_of_the_manifest_is_reported_before_anything_runs(course: Course) -> None:
    change(course.lesson("1").folder / "lesson.yaml", "      - What part of the price is left after ten per cent", "#")
    proof = prove_lesson(course, "1")
    assert [verdict.kind for verdict in proof.verdicts] == ["manifest"]
    assert "'discount' has 2 hints, not 3" in proof.verdicts[0].detail


def late(course: Course, lesson: Lesson, root: Path, **options: object) -> CheckResult:
    """What `check_lesson` gives when the machine stood still."""
    result = check_lesson(course, lesson, root, **options)
    problem = Problem(kind="timeout", summary="importing the code takes more than 20 s.")
    return msgspec.structs.replace(result, passed=False, problem=problem)


def test_a_run_that_a_time_limit_ended_is_repeated_before_it_is_believed(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = [late, check_lesson]
    monkeypatch.setattr("coursecli.author.prove.check_lesson", lambda *given, **more: checks.pop(0)(*given, **more))
    bench = _Bench(course, course.lesson("1"), course.root / "scratch", None)
    assert _settled(bench.reference).ok
    assert not checks


def test_a_run_that_ends_at_its_time_limit_twice_is_reported(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coursecli.author.prove.check_lesson", late)
    bench = _Bench(course, course.lesson("1"), course.root / "scratch", None)
    assert "more than 20 s" in _settled(bench.reference).detail
