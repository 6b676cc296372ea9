"""Parse and evaluate CloudWatch Logs filter patterns for JSON events.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html

Behaviour that neither that page nor a measurement confirms is marked unconfirmed in
tests/local/test_filter_pattern.py. Unsupported patterns are rejected, never guessed. The error
names the feature if AWS documents the syntax, otherwise the position.
"""

import json
import operator
import re
from collections.abc import Callable
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError

from console_login.errors import UserError

MAX_PATTERN_CHARACTERS = 1024  # CloudWatch Logs API reference, FilterPattern

_GRAMMAR = r"""
start: "{" _any_of "}"
_any_of: _all_of | any_of
any_of: _all_of ("||" _all_of)+
_all_of: _term | all_of
all_of: _term ("&&" _term)+
_term: "(" _any_of ")" | comparison | absent | constant

comparison: SELECTOR OPERATOR (QUOTED | BARE | REGEX)
absent: SELECTOR NOT_EXISTS
constant: SELECTOR IS

NOT_EXISTS: /NOT[ \t\r\n]+EXISTS/i
IS: /IS[ \t\r\n]+(NULL|TRUE|FALSE)/i
SELECTOR: /\$(\.([A-Za-z0-9_-]+|\*|\['[^']*'\])(\[([0-9]+|\*)\])*)+/
OPERATOR: "!=" | ">=" | "<=" | "=" | ">" | "<"
QUOTED: /"([^"\\]|\\.)*"/
REGEX: /%[^%]*%/
BARE: /[A-Za-z0-9_.*+-]+/
%ignore /[ \t\r\n]+/
"""

# An integer or a decimal, with an optional sign and exponent.
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER_WITH_WILDCARDS = re.compile(r"\*?[+-]?[0-9.]+\*?")

# One step of a selector: a quoted name, a name, an index.
_STEP = re.compile(r"\.\['([^']*)'\]|\.([A-Za-z0-9_-]+|\*)|\[([0-9]+|\*)\]")

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_ABSENT = object()

_Test = Callable[[Any], bool]


class FilterPatternError(UserError):
    """A pattern that CloudWatch Logs would reject, or that is not supported here."""


class FilterPattern:
    """A filter pattern, which selects log events for a subscription filter or metric filter."""

    def __init__(self, pattern: str) -> None:
        self._test = _compile(pattern)

    def matches(self, message: str) -> bool:
        """Whether the filter selects a log event with this message."""
        if self._test is None:
            return True
        try:
            document = json.loads(message, parse_constant=_no_json)
        except (ValueError, RecursionError):
            return False
        return isinstance(document, dict) and self._test(document)


def _no_json(constant: str) -> None:
    """Reject NaN and Infinity, which Python accepts but JSON does not have."""
    raise ValueError(constant)


def _compile(pattern: str) -> _Test | None:
    """Return the test of a pattern, or None if it matches all. Raises FilterPatternError."""
    if pattern.strip() in ("", '" "'):
        return None
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise FilterPatternError(
            f"filter pattern has {len(pattern)} characters: at most {MAX_PATTERN_CHARACTERS} are"
            " allowed"
        )
    if not pattern.lstrip().startswith("{"):
        is_columns = pattern.lstrip().startswith("[")
        kind = "patterns for space-delimited log events" if is_columns else "text patterns"
        raise FilterPatternError(f"filter pattern {pattern!r}: {kind} are not supported here")
    try:
        tree = _parser.parse(pattern)
    except UnexpectedInput as error:
        at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        position = "at its end" if at_end else f"at character {(error.pos_in_stream or 0) + 1}"
        raise FilterPatternError(
            f"filter pattern {pattern!r}: syntax error {position}"
            " (supported: JSON patterns with =, !=, <, >, NOT EXISTS, IS, && and ||)"
        ) from error
    try:
        test: _Test = _Tests().transform(tree)
    except VisitError as error:
        raise FilterPatternError(f"filter pattern {pattern!r}: {error.orig_exc}") from error
    return test


_parser = Lark(_GRAMMAR, parser="lalr")


class _Tests(Transformer[Token, _Test]):
    """Turns a parsed pattern into a test of a document."""

    def start(self, children: list[_Test]) -> _Test:
        return children[0]

    def any_of(self, children: list[_Test]) -> _Test:
        return lambda document: any(test(document) for test in children)

    def all_of(self, children: list[_Test]) -> _Test:
        return lambda document: all(test(document) for test in children)

    def absent(self, children: list[Token]) -> _Test:
        select = _selector(children[0])
        return lambda document: select(document) is _ABSENT

    def constant(self, children: list[Token]) -> _Test:
        select = _selector(children[0])
        wanted = {"NULL": None, "TRUE": True, "FALSE": False}[children[1].split()[1].upper()]
        return lambda document: select(document) is wanted

    def comparison(self, children: list[Token]) -> _Test:
        select = _selector(children[0])
        compare = _COMPARISONS[children[1]]
        literal = children[2]
        if literal.type == "REGEX":
            raise ValueError(f"the regular expression {literal} is not supported here")
        if literal.type == "QUOTED" and "\\" in literal:
            raise ValueError(f"the escape in {literal} is not supported here")
        if _NUMBER.fullmatch(literal):
            number = int(literal) if _INTEGER.fullmatch(literal) else float(literal)
            return lambda document: _compare_number(select(document), compare, number)
        if children[1] not in ("=", "!="):
            raise ValueError(f"{children[1]} compares numbers, but {literal} is not a number")
        if _NUMBER_WITH_WILDCARDS.fullmatch(literal):
            is_equal = _string_test(str(literal))
            return lambda document: _compare_string(_text(select(document)), compare, is_equal)
        is_equal = _string_test(literal[1:-1] if literal.type == "QUOTED" else str(literal))
        return lambda document: _compare_string(select(document), compare, is_equal)


def _selector(token: Token) -> Callable[[Any], Any]:
    """Return a function that reads the value at a selector such as `$.a.['b.c'][0]`, or _ABSENT."""
    steps: list[str | int] = []
    for quoted, name, index in _STEP.findall(token):
        if "*" in (name, index):
            raise ValueError(f"the wildcard in {token} is not supported here")
        steps.append(int(index) if index else name or quoted)

    def select(document: Any) -> Any:
        for step in steps:
            if isinstance(step, str):
                if not isinstance(document, dict) or step not in document:
                    return _ABSENT
            elif not isinstance(document, list) or step >= len(document):
                return _ABSENT
            document = document[step]
        return document

    return select


def _is_value(value: Any) -> bool:
    """Whether a value is a string or a number: other values never match, not even with !=."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _text(value: Any) -> Any:
    """Return a number as JSON writes it, any other value unchanged."""
    return json.dumps(value) if _is_value(value) and not isinstance(value, str) else value


def _compare_number(value: Any, compare: Callable[[Any, Any], bool], number: float) -> bool:
    if not _is_value(value):
        return False
    if isinstance(value, str):
        return compare is operator.ne
    return compare(value, number)


def _compare_string(
    value: Any, compare: Callable[[Any, Any], bool], is_equal: Callable[[Any], bool]
) -> bool:
    return _is_value(value) and compare(is_equal(value), True)


def _string_test(text: str) -> Callable[[Any], bool]:
    """Return a test for equality with a string, in which a first and last `*` are wildcards."""
    if text == "*":
        return _is_value
    starts_open, ends_open = text.startswith("*"), text.endswith("*")
    core = text[starts_open : len(text) - ends_open]
    if starts_open and ends_open:
        return lambda value: isinstance(value, str) and core in value
    if starts_open:
        return lambda value: isinstance(value, str) and value.endswith(core)
    if ends_open:
        return lambda value: isinstance(value, str) and value.startswith(core)
    return lambda value: bool(value == core)
