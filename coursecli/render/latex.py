"""LaTeX as a flat list of tokens, parsed by pylatexenc; and what its symbols, fonts and scripts are in Unicode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any


def _names(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


SUPERSCRIPTS = dict(zip("0123456789+−=()abcdefghijklmnoprstuvwxyz", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ"))
SUPERSCRIPTS |= dict(zip("ABDEGHIJKLMNOPRTUVW⊤′∗", "ᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵀ′*"))
SUBSCRIPTS = dict(zip("0123456789+−=()aehijklmnoprstuvxβγρ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨ"))
LETTERS = {"mathbb": dict(zip("RNZECQP", "ℝℕℤ𝔼ℂℚℙ")), "mathcal": dict(zip("LHBEFIMR", "ℒℋℬℰℱℐℳℛ"))}
ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303", "dot": "\u0307", "vec": "\u20d7", "overline": "\u0304"}
FONTS = _names(
    "text mathrm mathbf mathit mathsf mathtt textbf textit texttt textrm boldsymbol bm mbox",
    "mathbb mathcal operatorname operatorname*",
)
SIZES = _names("big Big bigg Bigg bigl bigr Bigl Bigr displaystyle textstyle limits nolimits")
SPACES = {",": " ", ";": " ", ":": " ", "!": "", " ": " ", "quad": "  ", "qquad": "    ", "~": " ", "thinspace": ""}
FUNCTIONS = _names("log ln exp max min sin cos tan tanh erf lim arg argmax argmin softmax det dim gcd sup inf Pr")
SYMBOLS = {"top": "⊤", "mid": "∣", "sigma": "σ", "prime": "′", "epsilon": "ε", "dots": "…", "cdots": "⋯", "ast": "∗"}
SYMBOLS |= {"lt": "<", "gt": ">", "implies": "⇒", "mod": "mod", "bmod": "mod"}
SYMBOLS |= dict(zip("{}|%_#&$", "{}‖%_#&$"))
WRITTEN = {"-": "−", "*": "∗", "'": "′"}
"""What is typed on a keyboard, as it is printed."""
BINARY = frozenset("+−·×⊙⊗⊕∘∗±÷…⋯") | {"mod"}
RELATIONS = frozenset("=≠<>≤≥≈≡∼∝∈∉⊂⊆→←↦⇒⇔≪≫:∣")
LIMITS = frozenset({"∑", "∏", "max", "min", "lim", "argmax", "argmin", "arg max", "arg min"})
"""What has its scripts above and below it, in a block."""
INDICES = frozenset("ijklmn")
"""Several of these side by side are indices; other letters side by side are a word."""


@dataclass
class Token:
    kind: str
    """char, macro, group, environment"""
    text: str
    parts: list[list[Token]] = field(default_factory=list)
    """The arguments of a macro; the content of a group or an environment."""


def read(source: str) -> list[Token]:
    """The formula, one token a character, so that `^` and `_` can look at what follows them.

    Raises:
        ValueError: it is not LaTeX.
    """
    from pylatexenc.latexwalker import LatexWalker, LatexWalkerError

    try:
        nodes = LatexWalker(source.strip(), tolerant_parsing=False).get_latex_nodes()[0]
        return list(_tokens(nodes))
    except (LatexWalkerError, RecursionError) as error:
        raise ValueError(str(error)) from error


@cache
def symbol(name: str) -> str:
    """The symbol of a macro without arguments; its name when it is not known."""
    from pylatexenc.latex2text import get_default_latex_context_db

    if name in SYMBOLS:
        return SYMBOLS[name]
    known = get_default_latex_context_db().get_macro_spec(name)
    text = known.simplify_repl if known else ""
    return text if isinstance(text, str) and text else name


def _tokens(nodes: Any) -> Iterator[Token]:
    """pylatexenc's tree as a flat list."""
    for node in nodes or []:
        name = type(node).__name__
        if name == "LatexCharsNode":
            yield from (Token("char", character) for character in node.chars if not character.isspace())
        elif name == "LatexSpecialsNode":
            yield Token("macro" if node.specials_chars == "~" else "char", node.specials_chars)
        elif name in ("LatexGroupNode", "LatexMathNode"):
            yield Token("group", "", [list(_tokens(node.nodelist))])
        elif name == "LatexEnvironmentNode":
            yield Token("environment", node.environmentname, [list(_tokens(node.nodelist))])
        elif name == "LatexMacroNode":
            given = node.nodeargd.argnlist if node.nodeargd and node.macroname != "\\" else []
            if node.macroname in FONTS and "text" not in node.macroname and any(_has_scripts(each) for each in given):
                yield from (Token("group", "", [_content(argument)]) for argument in given if argument is not None)
            elif node.macroname in FONTS:
                given = [argument for argument in given if argument is not None]
                yield Token("macro", node.macroname, [[Token("char", _plain(argument))] for argument in given])
            else:
                yield Token("macro", node.macroname, [_content(argument) for argument in given])


def _content(argument: Any) -> list[Token]:
    tokens = list(_tokens([argument] if argument else []))
    return tokens[0].parts[0] if len(tokens) == 1 and tokens[0].kind == "group" else tokens


def _has_scripts(node: Any) -> bool:
    """Whether a sub- or superscript is inside, as in \\mathbf{x_i}; the \\_ of \\mathrm{rotate\\_half} is none."""
    inside = getattr(node, "nodelist", [node])
    return any(type(each).__name__ == "LatexCharsNode" and set(each.chars) & set("^_") for each in inside)


def _plain(node: Any) -> str:
    """The text of an argument such as \\text{…}: its spaces count."""
    from pylatexenc.latex2text import LatexNodes2Text

    to_text = LatexNodes2Text(math_mode="text")
    return "".join(
        str(child.chars) if type(child).__name__ == "LatexCharsNode" else to_text.nodelist_to_text([child])
        for child in getattr(node, "nodelist", [node])
    )
