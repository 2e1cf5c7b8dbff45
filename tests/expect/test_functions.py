"""expect_gradient, expect_causal, expect_distribution, expect_growth."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy
import pytest
import torch

from coursecli.expect import expect_causal, expect_distribution, expect_gradient, expect_growth
from coursecli.expect.chance import tail
from coursecli.expect.growth import slope
from coursecli.expect.work import count_steps, peak_bytes

X = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))


class Square(torch.autograd.Function):
    """Its backward forgets the factor 2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * x


def test_right_gradients_pass():
    expect_gradient(lambda x: x.softmax(-1), [X], what="softmax")
    expect_gradient(lambda x, y, ids: (x @ y)[ids].sum(), [X[0], X[1].T, torch.tensor([0, 2])], what="products")
    expect_gradient(lambda x: x**3, [X], expected=[3 * X**2], what="a cube")
    expect_gradient(lambda x, y: x * 2 + y, [X, X], expected=[torch.full_like(X, 2), None], what="one of two")
    linear = torch.nn.Linear(4, 3).double()
    expect_gradient(lambda w, b: linear(X.double()), [linear.weight, linear.bias], what="parameters of a module")


def test_central_differences_leave_parameters_as_they_were():
    linear = torch.nn.Linear(4, 3).double()
    before = linear.weight.detach().clone()
    expect_gradient(lambda w: linear(X.double()), [linear.weight], what="weight")
    assert torch.equal(linear.weight, before)


def test_a_wrong_gradient_names_the_input_and_the_pattern(failure_of):
    failure = failure_of(expect_gradient, lambda q, k: q + Square.apply(k), [X, X.clone()], names=["q", "k"])
    assert failure.kind == "gradient"
    assert failure.what.endswith("the gradient of k")
    assert failure.diagnosis == ["Actual is 0.5 (1/2) times expected, everywhere."]


def test_a_gradient_that_the_sum_would_hide_is_found(failure_of):
    class Softmax(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.softmax(-1)

        @staticmethod
        def backward(ctx, gradient):
            return torch.zeros_like(gradient)

    failure_of(expect_gradient, Softmax.apply, [X])


def test_a_cut_graph_is_said(failure_of):
    assert failure_of(expect_gradient, lambda x: x.detach() * 2, [X]).summary == "The output has no gradient at all."
    failure = failure_of(expect_gradient, lambda q, k: q.detach() * k, [X, X.clone()], names=["q", "k"])
    assert failure.summary == "No gradient reaches q."
    assert failure_of(expect_gradient, lambda x: 3.0, [X]).kind == "type"


def test_float32_parameters_are_refused_for_central_differences():
    with pytest.raises(ValueError, match=r"module.double\(\)"):
        expect_gradient(lambda w: w, [torch.nn.Parameter(X)], what="x")


def test_causal_functions_pass():
    ids = torch.randint(0, 50, (2, 40), generator=torch.Generator().manual_seed(0))
    table = torch.randn(50, 3)
    expect_causal(lambda x: x.cumsum(1), X, what="a running sum")
    expect_causal(lambda ids: table[ids].cumsum(1), ids, what="ids")
    expect_causal(lambda x: x.cumsum(-2).transpose(1, 2), X, what="another output axis", output_axis=2)
    expect_causal(lambda x: numpy.cumsum(x, 0), numpy.arange(5.0), axis=0, what="an array")


def test_the_leak_is_located_and_described(failure_of):
    one = failure_of(expect_causal, lambda x: x + torch.cat([x[:, 1:], 0 * x[:, :1]], 1), X)
    assert one.summary.startswith("Position 0 sees position 1, which comes later")
    assert one.facts["leaks"] == "5 pairs of an output and a later input"
    assert "off by one" in one.diagnosis[0]
    every = failure_of(expect_causal, lambda x: x.softmax(1), X)
    assert every.diagnosis == ["Every position sees the whole future: nothing is masked."]
    marked = {(r, c) for r, row in enumerate(one.grid.rows) for c, cell in enumerate(row) if cell.differs}
    assert marked == {(i, i + 1) for i in range(5)}


def test_a_leak_of_tiny_values_is_found(failure_of):
    failure_of(expect_causal, lambda x: 1e-7 * (x.cumsum(1) + 0.1 * x.sum(1, keepdim=True)), X)


def test_a_leak_in_one_batch_row_or_one_channel_is_found(failure_of):
    def leaky(x):
        y = x.clone()
        y[1, 0, 3] += x[1, 5, 3]
        return y

    assert failure_of(expect_causal, leaky, X).summary.startswith("Position 0 sees position 5")


def test_an_output_that_ignores_its_input_is_not_causal(failure_of):
    assert "changes nothing" in failure_of(expect_causal, lambda x: x * 0, X).summary


def test_dropout_is_recognised(failure_of):
    torch.manual_seed(0)
    assert "Dropout" in failure_of(expect_causal, torch.nn.functional.dropout, X).diagnosis[0]


def test_a_wrong_output_is_no_crash(failure_of):
    assert "axis 1 should have size 6" in failure_of(expect_causal, lambda x: x[:, 1:], X).summary
    assert "should be a tensor" in failure_of(expect_causal, lambda x: "text", X).summary
    assert failure_of(expect_causal, lambda x: x.sum(), X).kind == "causality"


P = [0.5, 0.3, 0.15, 0.05]


def draw(probabilities, count=3000, seed=0):
    return random.Random(seed).choices(range(len(probabilities)), probabilities, k=count)


def test_right_samples_pass_in_any_form():
    expect_distribution(draw(P), P, what="a list")
    expect_distribution(torch.tensor(draw(P)).reshape(3, 1000), torch.tensor(P), what="a tensor")
    expect_distribution(
        iter([torch.tensor(i) for i in draw(P)]), {0: 0.5, 1: 0.3, 2: 0.15, 3: 0.05}, what="an iterator"
    )
    expect_distribution([2, 2], [0, 0, 1.0], what="only one")
    expect_distribution([0], P, what="a single draw")


def test_wrong_samples_fail_with_what_was_drawn(failure_of):
    failure = failure_of(expect_distribution, draw([0.4, 0.4, 0.15, 0.05]), P)
    assert failure.summary.startswith(("Id 0 was drawn 1", "Id 1 was drawn 1"))
    assert [row[0].differs for row in failure.grid.rows][2:] == [False, False]


def test_an_impossible_id_fails_at_once(failure_of):
    failure = failure_of(expect_distribution, [0, 1, 2], [0.5, 0.5, 0.0])
    assert failure.summary == "Id 2 has probability 0, but came in 1 draw of 3."
    assert failure_of(expect_distribution, [7], [0.5, 0.5]).summary.startswith("Id 7 has probability 0")


def test_patterns_of_samples_are_named(failure_of):
    greedy = failure_of(expect_distribution, [0] * 500, P)
    assert greedy.diagnosis == ["Only id 0 was ever drawn, the most probable one: nothing is sampled."]
    uniform = failure_of(expect_distribution, draw([0.25] * 4), P)
    assert uniform.diagnosis == ["The draws fit a uniform choice: the probabilities have no influence."]
    cut = failure_of(expect_distribution, draw([0.5 / 0.8, 0.3 / 0.8, 0, 0]), P)
    assert cut.diagnosis == ["Never drawn, although possible: ids 2 and 3."]


def test_the_likeliest_lookalike_that_fits_is_named(failure_of):
    hot = [0.625, 0.225, 0.1, 0.05]
    choices = {"near": [0.6, 0.25, 0.1, 0.05], "hot": lambda: hot, "uniform": [0.25] * 4, "broken": [1, 1], "same": P}
    assert failure_of(expect_distribution, draw(hot, 20_000), P, lookalikes=choices).mistake == "hot"
    del choices["hot"], choices["near"]
    assert failure_of(expect_distribution, draw(hot, 20_000), P, lookalikes=choices).mistake is None


def test_things_that_are_no_ids_are_no_crash(failure_of):
    for samples in (["a"], [1.5], [[1], [1, 2]], 5, None, [], [None]):
        assert failure_of(expect_distribution, samples, P).kind == "distribution"


def test_wrong_probabilities_are_the_authors_error():
    with pytest.raises(ValueError, match="sum to 1"):
        expect_distribution([0], [0.5, 0.4], what="x")


@pytest.mark.parametrize(("total", "p"), [(1, 0.5), (10, 0.3), (60, 0.05), (80, 0.9)])
def test_the_tail_is_a_tight_bound_from_above(total, p):
    exact = [math.comb(total, k) * Fraction(p) ** k * (1 - Fraction(p)) ** (total - k) for k in range(total + 1)]
    for seen in range(total + 1):
        smaller = float(sum(exact[seen:]) if seen >= total * p else sum(exact[: seen + 1]))
        bound = tail(seen, total, p)
        assert bound >= smaller * (1 - 1e-9)
        if abs(seen - total * p) > 4 * math.sqrt(total * p * (1 - p)):
            assert bound <= 2 * smaller


def test_right_samplers_are_not_refused():
    # 400 runs at a false-alarm rate of 1 %: more than 16 refusals have a probability below 1e-6 (binomial tail)
    refused = 0
    for seed in range(400):
        try:
            expect_distribution(draw(P, 200, seed), P, what="x", false_alarm=0.01)
        except AssertionError:
            refused += 1
    assert refused <= 16


def quadratic(n):
    count = 0
    for _ in range(n):
        for _ in range(n):
            count += 1
    return count


def linear(n):
    return [i for i in range(n) if i % 2]


def test_growth_within_the_bound_passes():
    expect_growth(linear, [64, 128, 256], at_most=1.1, what="linear")
    expect_growth(quadratic, [16, 32, 64], at_most=2.1, what="quadratic")
    expect_growth(lambda n: None, [10, 100], at_most=0.1, what="constant")


def test_growth_beyond_the_bound_fails_with_the_exponent(failure_of):
    failure = failure_of(expect_growth, quadratic, [32, 64, 128], at_most=1.3)
    assert failure.summary == "The work grows like n^1.98; at most n^1.3 is expected."
    assert list(failure.facts) == ["n = 32", "n = 64", "n = 128"]


def test_a_hidden_loop_in_a_comprehension_or_a_generator_counts(failure_of):
    failure_of(expect_growth, lambda n: [j for i in range(n) for j in range(n)], [32, 64, 128], at_most=1.5)
    failure_of(expect_growth, lambda n: sum(j for i in range(n) for j in range(n)), [32, 64, 128], at_most=1.5)


def test_work_that_runs_away_is_stopped(failure_of):
    def endless(n):
        try:
            while True:
                n += 1
        except Exception:
            return n

    failure = failure_of(expect_growth, endless, [8, 16], at_most=1.0)
    assert failure.actual == "more than 2,000,000 steps"


def test_preparation_is_not_counted():
    expect_growth(lambda value: value, [16, 32, 64], at_most=0.1, prepare=quadratic, what="prepared")


def test_counting_is_deterministic_and_leaves_no_trace():
    import sys

    before = sys.gettrace()
    assert len({count_steps(quadratic, 20, 10**6) for _ in range(3)}) == 1
    assert sys.gettrace() is before


def attention(n):
    q = torch.ones(1, n, 8)
    return (q @ q.mT).softmax(-1) @ q


def streamed(n):
    q = torch.ones(1, n, 8)
    return sum((q[:, i : i + 1] @ q.mT).softmax(-1) @ q for i in range(n))


def test_memory_of_tensors_counts(failure_of):
    expect_growth(streamed, [64, 128, 256], at_most=1.3, measure="memory", what="streamed")
    failure = failure_of(expect_growth, attention, [64, 128, 256], at_most=1.3, measure="memory")
    assert failure.summary.startswith("The memory grows like n^1.9")


def test_the_peak_of_tensors_is_what_lives_at_one_time():
    def one_after_another(n):
        for _ in range(10):
            torch.ones(n)

    def all_together(n):
        return [torch.ones(n) for _ in range(10)]

    n = 100_000
    assert 4 * n <= peak_bytes(one_after_another, n) < 2.5 * 4 * n
    assert peak_bytes(all_together, n) >= 10 * 4 * n


def test_memory_of_python_objects_counts(failure_of):
    failure_of(expect_growth, lambda n: [[0] * n for _ in range(n)], [64, 128, 256], at_most=1.3, measure="memory")


def test_the_slope_is_that_of_least_squares():
    sizes, amounts = [10, 20, 40, 80], [3, 11, 50, 180]
    assert slope(sizes, amounts) == pytest.approx(numpy.polyfit(numpy.log(sizes), numpy.log(amounts), 1)[0])
