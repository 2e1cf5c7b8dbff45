"""LaTeX as people would write it down by hand, in one line and as a block."""

import pytest

from coursecli.render.mathematics import display, inline


@pytest.mark.parametrize(
    ("latex", "line"),
    [
        (r"d_k", "dₖ"),
        (r"x^2", "x²"),
        (r"x_i^2", "xᵢ²"),
        (r"x_{t+1}", "xₜ₊₁"),
        (r"W^\top", "Wᵀ"),
        (r"W_Q x", "W_Qx"),
        (r"W_{\text{up}}", "W_up"),
        (r"x_{<i}", "x_<i"),
        (r"\frac{a}{b}", "a/b"),
        (r"\frac{1}{2i}", "1/(2i)"),
        (r"\frac{a+b}{c+d}", "(a + b)/(c + d)"),
        (r"\frac{a}{\frac{b}{c}}", "a/(b/c)"),
        (r"\frac12", "1/2"),
        (r"\sqrt{d_k}", "√dₖ"),
        (r"\sqrt{x + \epsilon}", "√(x + ε)"),
        (r"\sqrt[3]{x}", "³√x"),
        (r"\sum_{i=1}^{n} x_i", "∑ᵢ₌₁ⁿ xᵢ"),
        (r"e^{-x}", "e⁻ˣ"),
        (r"10000^{-2i/d}", "10000^(−2i/d)"),
        (r"x \in \mathbb{R}^{B \times T}", "x ∈ ℝ^(B×T)"),
        (r"\mathcal{L} = -\log p", "ℒ = −log p"),
        (r"\log(x)", "log(x)"),
        (r"O(n \log n)", "O(n log n)"),
        (r"\operatorname{softmax}(z)", "softmax(z)"),
        (r"p(x_i \mid x_{<i})", "p(xᵢ ∣ x_<i)"),
        (r"a\,b \quad c", "a b  c"),
        (r"\mathrm{rotate\_half}(x)", "rotate_half(x)"),
        (r"i = 0 \dots C/2", "i = 0 … C/2"),
        (r"2 \times 3 = 6", "2 × 3 = 6"),
        (r"-1 - -1", "−1 − −1"),
        (r"\lVert x \rVert_2", "‖x‖₂"),
        (r"\left[ a, b \right)", "[a, b)"),
        (r"\hat{x}", "x̂"),
        (r"\{1, \dots, n\}", "{1, …, n}"),
        (r"100\%", "100%"),
        (r"5 \bmod 2", "5 mod 2"),
        (r"\mathbf{x_i}", "xᵢ"),
        (r"\text{the $x_i$ here}", "the x_i here"),
        (r"\text{if } x > 0", "if x > 0"),
        (r"\unknown{x}", "unknownx"),
        (r"\frac{a", r"\frac{a"),
    ],
)
def test_in_one_line(latex, line):
    assert inline(latex) == line


@pytest.mark.parametrize(
    ("latex", "block"),
    [
        (r"\frac{a+b}{c}", " a + b\n───────\n   c"),
        (r"y = \frac{1}{n}", "     1\ny = ───\n     n"),
        (r"\sum_{i=1}^{n} x_i", " n\n ∑  xᵢ\ni=1"),
        (r"e^{x/T}", " x/T\ne"),
        (r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}", "⎛a  b⎞\n⎝c  d⎠"),
        (r"\begin{cases} 0 & j \le i \\ -\infty & j > i \end{cases}", "⎧0   j ≤ i\n⎩−∞  j > i"),
        (r"\begin{aligned} h &= x + y \\ yy &= h \end{aligned}", " h = x + y\nyy = h"),
        (r"\left( \frac{a}{b} \right)", "⎛ a ⎞\n⎜───⎟\n⎝ b ⎠"),
        (r"x = y", "x = y"),
    ],
)
def test_as_a_block(latex, block):
    assert display(latex, 80) == block


def test_a_block_too_wide_for_the_screen_becomes_a_line():
    latex = r"\frac{a + b + c + d + e}{f + g + h + i + j} = \frac{k + l + m + n}{o + p + q + r}"
    assert "\n" in display(latex, 80)
    assert display(latex, 20) == inline(latex)
    assert "\n" not in inline(latex)


def test_rows_of_a_block_belong_together():
    latex = r"\text{RMSNorm}(x)_i = \frac{x_i}{\sqrt{\frac{1}{C}\sum_{j=1}^{C} x_j^2 + \epsilon}} \cdot w_i"
    rows = display(latex, 80).split("\n")
    base = next(row for row in rows if row.startswith("RMSNorm"))
    assert base.rstrip().endswith("· wᵢ")
    assert base.count("─") > 10
