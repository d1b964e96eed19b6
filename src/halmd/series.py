"""Series of compositions: `Li{3-x}In{1-x}Zr{x}Cl6` with `x=0:0.5:0.1`, in exact fractions.

A template is a formula whose amounts may be arithmetic in braces, which a small parser reads.
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from halmd.composition import parse_formula
from halmd.errors import HalmdError

MAX_COMPOSITIONS = 500
"""Most compositions of one series; more is a slip of the step."""

_MAX_LENGTH = 200
_MAX_DEPTH = 20
_MAX_DECIMALS = 6
_MAX_DIGITS = 30
_NUMBER = r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+"
_VALUE = re.compile(rf"([+-]?)({_NUMBER})(?:/([0-9]+))?")
_VARIABLE = re.compile(r"\s*([A-Za-z]\w*)\s*=(.*)", re.ASCII | re.DOTALL)
_EXPRESSION_TOKEN = re.compile(rf"\s*({_NUMBER}|[A-Za-z]\w*|[-+*/()])", re.ASCII)
_TEMPLATE_TOKEN = re.compile(
    rf"([A-Z][a-z]?)|((?:{_NUMBER})(?:/[0-9]+)?)|([(\[])|([)\]])|\{{([^{{}}]*)\}}|\s+"
)
_EXAMPLE = "write for example x=0:0.5:0.1 (start:stop:step) or x=0,0.1,0.25"


@dataclass(frozen=True)
class _Term:
    """An element or a bracket, and its amount: as written, or tokens of what was in braces."""

    content: "str | tuple[_Term, ...]"
    amount: str | tuple[str, ...] = ""


def series(arguments: Sequence[str]) -> list[str]:
    """Formulas that the words of a command line ask for: formulas, templates and variables.

    A template and its variables may also stand in one argument, apart by blanks. Raises HalmdError
    as `parse_variable` and `expand` do, and for a variable defined twice.
    """
    words = [
        word.strip()
        for argument in arguments
        for word in re.split(r"\s+(?=[A-Za-z]\w*\s*=)", argument)
    ]
    variables: dict[str, tuple[Fraction, ...]] = {}
    for word in words:
        if "=" in word:
            name, values = parse_variable(word)
            if name in variables:
                raise HalmdError(f"{word!r}: {name} is defined twice; separate values by commas")
            variables[name] = values
    templates = [word for word in words if "=" not in word]
    if not templates:
        raise HalmdError("no formula is given; write for example Li3YCl6")
    return expand(templates, variables)


def parse_variable(text: str) -> tuple[str, tuple[Fraction, ...]]:
    """Name and exact values of `x=0:0.5:0.1` (stop included when met) or `x=0,1/3,0.5`.

    Raises HalmdError for anything else, and for a range that is empty or endless.
    """
    match = _VARIABLE.fullmatch(text)
    if match is None or len(text) > _MAX_LENGTH:
        raise HalmdError(f"{_clip(text)!r} defines no variable; {_EXAMPLE}")
    name, body = match.groups()
    values: dict[Fraction, None] = {}
    for part in body.split(","):
        numbers = [_value(word, text) for word in part.split(":")]
        if len(numbers) == 1:
            values[numbers[0]] = None
        elif len(numbers) == 3:
            values |= dict.fromkeys(_range(*numbers, text=text))
        else:
            raise HalmdError(f"{text!r}: a range has a start, a stop and a step; {_EXAMPLE}")
    return name, tuple(values)


def _value(word: str, text: str) -> Fraction:
    match = _VALUE.fullmatch(word.strip())
    if match is None:
        raise HalmdError(f"{text!r}: {word.strip()!r} is no number; {_EXAMPLE}")
    sign, number, below = match.groups()
    if below and int(below) == 0:
        raise HalmdError(f"{text!r}: {word.strip()} divides by zero")
    return Fraction(f"{sign}{number}") / int(below or 1)


def _range(start: Fraction, stop: Fraction, step: Fraction, *, text: str) -> Iterator[Fraction]:
    if step == 0:
        raise HalmdError(f"{text!r}: a step of 0 never ends; {_EXAMPLE}")
    last = math.floor((stop - start) / step)
    if last < 0:
        raise HalmdError(f"{text!r}: the step leads away from the stop; {_EXAMPLE}")
    if last >= MAX_COMPOSITIONS:
        raise HalmdError(f"{text!r}: {last + 1:.3g} values, more than {MAX_COMPOSITIONS}")
    return (start + k * step for k in range(last + 1))


def expand(templates: Sequence[str], variables: Mapping[str, Sequence[Fraction]]) -> list[str]:
    """Formulas of all templates, each at all combinations of the variables it mentions.

    Amounts are exact: decimals where six digits hold them, otherwise fractions such as 1/3. Terms
    whose amount becomes 0 are left out. A formula without braces comes back as it is, without
    blanks; formulas written alike come back once. Raises HalmdError for a malformed template, a
    negative amount, and a variable that is not defined or not used.
    """
    found: dict[str, None] = {}
    used: set[str] = set()
    for template in templates:
        terms = _parse(template)
        names = list(dict.fromkeys(_names(terms)))
        for name in names:
            if name not in variables:
                raise HalmdError(f"{template}: {name} has no values; add for example {name}=0,0.1")
        used |= set(names)
        count = math.prod(len(variables[name]) for name in names)
        if count > MAX_COMPOSITIONS:
            raise HalmdError(f"{template}: {count} compositions, more than {MAX_COMPOSITIONS}")
        for values in itertools.product(*(variables[name] for name in names)):
            point = dict(zip(names, values, strict=True))
            formula = _render(terms, point, template)
            if "{" not in template:
                formula = "".join(template.split())
            if not formula:
                raise HalmdError(f"{template}: nothing is left at {_shown(point)}")
            parse_formula(formula)
            found[formula] = None
    idle = [name for name in variables if name not in used]
    if idle:
        raise HalmdError(
            f"{', '.join(idle)} stands in no formula; put it in braces: Li{{3-{idle[0]}}}..."
        )
    return list(found)


def _parse(template: str) -> tuple[_Term, ...]:
    """Terms of a template; what a plain formula may hold is left to `parse_formula`."""
    if len(template) > _MAX_LENGTH:
        raise HalmdError(f"formula of {len(template)} characters: no formula is that long")
    if "{" not in template and "}" not in template:
        parse_formula(template)
    stack: list[list[_Term]] = [[]]
    counted = True
    position = 0
    while position < len(template):
        match = _TEMPLATE_TOKEN.match(template, position)
        if match is None:
            raise HalmdError(
                f"formula {template!r}: cannot read {template[position]!r} at {position + 1}"
            )
        element, number, opening, closing, expression = match.groups()
        if element:
            stack[-1].append(_Term(element))
        elif opening:
            if len(stack) > _MAX_DEPTH:
                raise HalmdError(f"formula {template!r}: brackets deeper than {_MAX_DEPTH}")
            stack.append([])
        elif closing:
            if len(stack) == 1:
                raise HalmdError(f"formula {template!r}: {closing!r} closes nothing")
            content = tuple(stack.pop())
            stack[-1].append(_Term(content))
        elif number or expression is not None:
            if counted or not stack[-1]:
                raise HalmdError(
                    f"formula {template!r}: the amount {match.group()} follows no element"
                )
            amount = number or _tokens(expression, template)
            stack[-1][-1] = _Term(stack[-1][-1].content, amount)
        if match.group().strip():
            counted = not (element or closing)
        position = match.end()
    if len(stack) > 1:
        raise HalmdError(f"formula {template!r}: a bracket is not closed")
    return tuple(stack[0])


def _names(terms: Sequence[_Term]) -> Iterator[str]:
    for term in terms:
        if isinstance(term.amount, tuple):
            yield from (token for token in term.amount if token[0].isalpha())
        if not isinstance(term.content, str):
            yield from _names(term.content)


def _render(terms: Sequence[_Term], point: Mapping[str, Fraction], template: str) -> str:
    """The formula of a template at a point; empty when no term is left."""
    parts = []
    for term in terms:
        if isinstance(term.content, str):
            content = term.content
        else:
            inner = _render(term.content, point, template)
            content = f"({inner})" if inner else ""
        amount = term.amount
        if isinstance(amount, tuple):
            value = _Evaluator(amount, point, template).value()
            if value < 0:
                raise HalmdError(
                    f"{template}: the amount {''.join(amount)} of {_clip(content)} is "
                    f"{_clip(exact(value))} at {_shown(point)}; amounts may not be negative"
                )
            if value == 0:
                continue
            amount = "" if value == 1 else exact(value)
        if content.startswith("(") and not amount:
            content = content[1:-1]
        if content:
            parts.append(content + amount)
    return "".join(parts)


def exact(amount: Fraction) -> str:
    """An amount as `parse_formula` reads it back exactly: 0.25, or 1/3 where digits do not end."""
    scaled = amount * 10**_MAX_DECIMALS
    if scaled.denominator != 1:
        return f"{amount.numerator}/{amount.denominator}"
    whole, rest = divmod(abs(scaled.numerator), 10**_MAX_DECIMALS)
    digits = f"{rest:0{_MAX_DECIMALS}d}".rstrip("0")
    return ("-" if amount < 0 else "") + f"{whole}" + (f".{digits}" if digits else "")


def _shown(point: Mapping[str, Fraction]) -> str:
    return ", ".join(f"{name}={_clip(exact(value))}" for name, value in point.items())


def _clip(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _tokens(expression: str, template: str) -> tuple[str, ...]:
    """Numbers, names, operators and parentheses of an expression, checked to be an expression."""
    found = []
    position = 0
    expression = expression.strip()
    while position < len(expression):
        match = _EXPRESSION_TOKEN.match(expression, position)
        if match is None:
            raise HalmdError(
                f"{template}: cannot read {expression[position:].strip()[0]!r} in "
                f"{{{_clip(expression)}}}; numbers, variables, + - * / and parentheses are known"
            )
        found.append(match.group(1))
        position = match.end()
    tokens = tuple(found)
    # At points where nothing divides by zero every expression can be checked by evaluating it.
    _Evaluator(tokens, None, template).value()
    return tokens


class _Evaluator:
    """Recursive descent over the tokens of one expression.

    Without a point only the grammar is checked. `2x` and `2(1-x)` are products; straight after a
    division they are refused, because 1/2x can be read in two ways.
    """

    def __init__(
        self, tokens: Sequence[str], point: Mapping[str, Fraction] | None, template: str
    ) -> None:
        self._tokens = tokens
        self._point = point
        self._template = template
        self._position = 0

    def value(self) -> Fraction:
        """The exact value; raises HalmdError for what is no expression or divides by zero."""
        found = self._sum(0)
        if self._next():
            raise self._error(f"unexpected {self._next()!r}")
        if max(abs(found.numerator), found.denominator) >= 10**_MAX_DIGITS:
            raise self._error(f"an amount of more than {_MAX_DIGITS} digits")
        return found

    def _error(self, problem: str) -> HalmdError:
        where = f" at {_shown(self._point)}" if self._point else ""
        expression = _clip(" ".join(self._tokens))
        return HalmdError(f"{self._template}: {problem} in {{{expression}}}{where}")

    def _next(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self._position += 1
        return token

    def _sum(self, depth: int) -> Fraction:
        if depth > _MAX_DEPTH:
            raise self._error(f"parentheses deeper than {_MAX_DEPTH}")
        sign = -1 if self._next() in ("+", "-") and self._take() == "-" else 1
        total = sign * self._product(depth)
        while self._next() in ("+", "-"):
            total += self._product(depth) if self._take() == "+" else -self._product(depth)
        return total

    def _product(self, depth: int) -> Fraction:
        total = self._factor(depth)
        divided = False
        while token := self._next():
            if token in ("*", "/"):
                divided = self._take() == "/"
                factor = self._factor(depth)
                if divided and self._point is not None and factor == 0:
                    raise self._error("division by zero")
                total = total / (factor or 1) if divided else total * factor
            elif token == "(" or token[0].isalpha():
                if divided:
                    raise self._error(f"'/' before a product without '*' (put * before {token})")
                total *= self._factor(depth)
            else:
                break
        return total

    def _factor(self, depth: int) -> Fraction:
        token = self._take()
        if token == "(":
            value = self._sum(depth + 1)
            if self._take() != ")":
                raise self._error("a parenthesis is not closed")
            return value
        if not token:
            raise self._error("an amount is missing")
        if token[0].isalpha():
            return Fraction(1) if self._point is None else self._point[token]
        if token[0] in "0123456789.":
            return Fraction(token)
        raise self._error(f"unexpected {token!r}")
