"""LaTeX mathematics as Unicode: one line inside a sentence, stacked fractions and sums in a displayed block.

`latex` reads it, `boxes` joins the pieces; here is which piece goes where. What is no LaTeX is shown as it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coursecli.render import boxes, latex
from coursecli.render.boxes import Box, beside, line
from coursecli.render.latex import ACCENTS, FONTS, FUNCTIONS, SIZES, SPACES, SUBSCRIPTS, SUPERSCRIPTS, Token


@dataclass
class Atom:
    """A piece of a row, and what it is: that decides the space around it."""

    box: Box
    kind: str = "ordinary"
    """ordinary, fraction, binary, relation, open, close, comma, function, operator, space"""


def inline(source: str) -> str:
    r"""One line of Unicode.

    >>> inline(r"\frac{QK^\top}{\sqrt{d_k}}")
    'QKᵀ/√dₖ'
    """
    return _typeset(source, display=False).rows[0].strip()


def display(source: str, width: int) -> str:
    """A block of Unicode, or one line when the block would be wider than `width`."""
    box = _typeset(source, display=True)
    if box.width > width:
        return inline(source)
    return "\n".join(row.rstrip() for row in box.rows)


def _typeset(source: str, *, display: bool) -> Box:
    try:
        return _Setter(display).row(latex.read(source))
    except (ValueError, IndexError, RecursionError):
        return line(" ".join(source.split()))


class _Setter:
    """Sets a list of tokens as a box; `display` allows more than one row."""

    def __init__(self, display: bool, *, tight: bool = False) -> None:
        self.display = display
        self.tight = tight

    def row(self, tokens: list[Token]) -> Box:
        return self._join(self._atoms(tokens))

    def _atoms(self, tokens: list[Token]) -> list[Atom]:
        atoms: list[Atom] = []
        rest = list(tokens)
        while rest:
            token = rest.pop(0)
            if token.kind == "char" and token.text in "^_":
                upper, lower = self._scripts(token, rest)
                base = atoms.pop() if atoms else Atom(line(""))
                atoms.append(Atom(self._scripted(base, upper, lower), base.kind))
            elif token.kind == "macro" and token.text == "left":
                atoms.append(self._fenced(rest))
            elif token.kind == "macro" and token.text in SIZES | {"right"}:
                continue
            else:
                atoms.append(self._atom(token, rest))
        return atoms

    def _scripts(self, token: Token, rest: list[Token]) -> tuple[list[Token] | None, list[Token] | None]:
        found: dict[str, list[Token]] = {token.text: self._argument(rest)}
        if rest and rest[0].kind == "char" and rest[0].text in "^_" and rest[0].text not in found:
            mark = rest.pop(0).text
            found[mark] = self._argument(rest)
        return found.get("^"), found.get("_")

    def _argument(self, rest: list[Token]) -> list[Token]:
        token = rest.pop(0)
        return token.parts[0] if token.kind == "group" else [token]

    def _atom(self, token: Token, rest: list[Token]) -> Atom:
        if token.kind == "group":
            return Atom(self.row(token.parts[0]))
        if token.kind == "environment":
            return Atom(self._environment(token))
        if token.kind == "char":
            return _symbol(latex.WRITTEN.get(token.text, token.text))
        name = token.text
        if name in SPACES:
            return Atom(line(SPACES[name]), "space")
        if name in ("frac", "tfrac", "dfrac"):
            top, bottom = token.parts if len(token.parts) == 2 else (self._argument(rest), self._argument(rest))
            return self._fraction(top, bottom)
        if name == "binom":
            over, under = self.row(self._argument(rest)), self.row(self._argument(rest))
            tall = self.display and not self.tight
            middle = boxes.stacked([over, line(""), under], 1) if tall else beside([over, line(" choose "), under])
            return Atom(boxes.fenced("(", middle, ")"))
        if name == "sqrt":
            degree, content = token.parts if len(token.parts) == 2 else ([], self._argument(rest))
            return Atom(self._root(degree, content))
        if name in FONTS:
            if rest and name == "operatorname" and rest[0].text == "*":
                rest.pop(0)
            text = token.parts[0][0].text if token.parts else self.row(self._argument(rest)).rows[0]
            text = "".join(latex.LETTERS.get(name, {}).get(letter, letter) for letter in text)
            return Atom(line(text), "function" if name.startswith("operatorname") else "ordinary")
        if name in ACCENTS:
            box = self.row(token.parts[0] if token.parts and token.parts[0] else self._argument(rest))
            return Atom(
                line(box.rows[0] + ACCENTS[name]) if box.flat and box.width == 1 else beside([line(f"{name} "), box])
            )
        if name in ("underbrace", "overbrace", "boxed"):
            return Atom(self.row(token.parts[0] if token.parts else self._argument(rest)))
        if name in FUNCTIONS:
            return Atom(line(name), "function")
        return _symbol(latex.symbol(name))

    def _fenced(self, rest: list[Token]) -> Atom:
        left = self._delimiter(rest)
        inside: list[Token] = []
        depth = 0
        while rest:
            token = rest.pop(0)
            if token.kind == "macro" and token.text == "right" and depth == 0:
                return Atom(boxes.fenced(left, self.row(inside), self._delimiter(rest)))
            depth += {"left": 1, "right": -1}.get(token.text, 0) if token.kind == "macro" else 0
            inside.append(token)
        return Atom(beside([line(left), self.row(inside)]))

    def _delimiter(self, rest: list[Token]) -> str:
        mark = self._atom(rest.pop(0), rest).box.rows[0]
        return "" if mark == "." else mark

    def _fraction(self, top: list[Token], bottom: list[Token]) -> Atom:
        if self.display and not self.tight:
            return Atom(boxes.fraction(self.row(top), self.row(bottom)))
        upper = self._wrapped(top, needed=lambda atoms: any(_is_sum(atom) for atom in atoms))
        lower = self._wrapped(bottom, needed=lambda atoms: len(atoms) > 1 or atoms[0].kind == "fraction")
        return Atom(beside([upper, line("/"), lower]), "fraction")

    def _wrapped(self, tokens: list[Token], *, needed: Callable[[list[Atom]], bool]) -> Box:
        atoms = self._atoms(tokens)
        box = self._join(atoms)
        return boxes.fenced("(", box, ")") if needed(atoms) and not _is_number(box) else box

    def _root(self, degree: list[Token], content: list[Token]) -> Box:
        sign = "".join(SUPERSCRIPTS.get(letter, letter) for letter in self.row(degree).rows[0]) + "√"
        inside = self._wrapped(content, needed=lambda atoms: len(atoms) > 1 or not self._join(atoms).flat)
        return beside([line(sign), inside])

    def _scripted(self, base: Atom, upper: list[Token] | None, lower: list[Token] | None) -> Box:
        above = _Setter(self.display, tight=True).row(upper) if upper is not None else None
        below = _Setter(self.display, tight=True).row(lower) if lower is not None else None
        if self.display and not self.tight and base.box.rows[0] in latex.LIMITS:
            parts = [box for box in (above, base.box, below) if box is not None]
            return boxes.stacked(parts, 0 if above is None else 1)
        small_above = _small("^", above, SUPERSCRIPTS)
        small_below = _small("_", below, SUBSCRIPTS)
        if base.box.flat and small_above is not None and small_below is not None:
            return line(base.box.rows[0] + small_below + small_above)
        if self.display and not self.tight:
            return boxes.raised(base.box, above, below)
        scripts = [("_", below, small_below), ("^", above, small_above)]
        written = [
            small if small is not None else f"{mark}({box.rows[0]})" for mark, box, small in scripts if box is not None
        ]
        return beside([base.box, line("".join(written))])

    def _environment(self, token: Token) -> Box:
        name = token.text.rstrip("*")
        rows: list[list[list[Token]]] = [[[]]]
        for part in token.parts[0]:
            if part.kind == "macro" and part.text == "\\":
                rows.append([[]])
            elif part.kind == "char" and part.text == "&":
                rows[-1].append([])
            else:
                rows[-1][-1].append(part)
        cells = [[self.row(cell) for cell in row] for row in rows if any(row)]
        if not cells:
            return line("")
        left, right = tuple({"pmatrix": "()", "bmatrix": "[]", "vmatrix": "||", "cases": "{ "}.get(name, "  "))
        if not self.display:
            joined = "; ".join(" ".join(cell.rows[0] for cell in row if cell.width) for row in cells)
            return line(f"{left.strip()}{joined}{right.strip()}")
        if name in ("aligned", "align", "split", "gathered"):
            return boxes.table(cells, aligns="rl", gap=1)
        body = boxes.table(cells, aligns="l" if name == "cases" else "c", gap=2)
        return boxes.fenced(left.strip(), body, right.strip())

    def _join(self, atoms: list[Atom]) -> Box:
        placed: list[Box] = []
        before: Atom | None = None
        for index, atom in enumerate(atoms):
            after = atoms[index + 1] if index + 1 < len(atoms) else None
            box = atom.box
            infix = atom.kind in ("binary", "relation")
            if (
                infix
                and before is not None
                and before.kind not in ("binary", "relation", "open", "comma")
                and after is not None
            ):
                box = box if self.tight else line(f" {box.rows[0]} ")
            elif atom.kind == "relation" and not self.tight and len(atoms) > 1:
                box = line(f"{box.rows[0]} " if before is None else f" {box.rows[0]}")
            elif atom.kind == "comma" and after is not None and not self.tight:
                box = line(f"{box.rows[0]} ")
            elif atom.kind == "operator" and after is not None:
                box = beside(
                    [
                        line(" " if before is not None and before.kind in ("ordinary", "fraction") else ""),
                        box,
                        line(" "),
                    ]
                )
            elif atom.kind == "function":
                ahead = before is not None and before.kind in ("ordinary", "close", "function") and not self.tight
                behind = after is not None and after.kind not in (
                    "open",
                    "close",
                    "comma",
                    "binary",
                    "relation",
                    "space",
                )
                fenced = after is not None and after.box.rows[0][:1] in tuple("([⎛⎡")
                box = beside([line(" " if ahead else ""), box, line(" " if behind and not fenced else "")])
            placed.append(box)
            before = atom if atom.kind != "space" else before
        return beside(placed)


def _symbol(text: str) -> Atom:
    kinds = {"∑": "operator", "∏": "operator", ",": "comma", ";": "comma"}
    if text in latex.BINARY:
        return Atom(line(text), "binary")
    if text in latex.RELATIONS:
        return Atom(line(text), "relation")
    if text in tuple("([{⟨⌊⌈"):
        return Atom(line(text), "open")
    if text in tuple(")]}⟩⌋⌉"):
        return Atom(line(text), "close")
    return Atom(line(text), kinds.get(text, "ordinary"))


def _is_sum(atom: Atom) -> bool:
    return atom.kind == "relation" or atom.box.rows[0] in ("+", "−", "±")


def _is_number(box: Box) -> bool:
    return box.flat and box.rows[0].replace(".", "").isdigit()


def _small(mark: str, box: Box | None, alphabet: dict[str, str]) -> str | None:
    """A script in small letters, or a name after its mark (`W_gate`); None for an expression that has no such form."""
    if box is None:
        return ""
    text = box.rows[0]
    word = len(text) > 1 and text.isalpha() and not set(text) <= latex.INDICES
    if box.flat and not word and all(letter in alphabet for letter in text):
        return "".join(alphabet[letter] for letter in text)
    name = text.lstrip("<≤>≥") if mark == "_" else text
    return mark + text if box.flat and name.replace(",", "").isalnum() else None
