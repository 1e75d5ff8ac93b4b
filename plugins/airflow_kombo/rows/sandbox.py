"""Limits of a mapping's templates: they read a row and write a text of a bounded size.

Jinja's sandbox keeps a template away from Python's internals. It does not limit the computation: a
template could repeat a text a billion times, raise a number to a power of millions, or nest loops.
These limits stop a mistake before it uses up a worker's memory or an hour of its time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from jinja2.runtime import Context

LARGEST: Final = 1_000
"""Largest size in a template: characters, items, digits, repetitions."""

_STATEMENTS: Final = (nodes.Output, nodes.If, nodes.For, nodes.Assign, nodes.AssignBlock)
_GLOBALS: Final = frozenset({"range", "dict"})
"""Functions in a template. Jinja's others make random text, or text that doubles in each turn of a
loop."""
_SIZED_FILTERS: Final = ("batch", "center", "indent", "round", "slice", "tojson", "wordwrap")
_SIZED_METHODS: Final = frozenset({"center", "expandtabs", "ljust", "rjust", "to_bytes", "zfill"})
_UNCHANGING: Final = frozenset({str, int, float, Decimal, date, datetime})
_WIDE_PERCENT: Final = re.compile(r"%(?:\([^)]*\))?[^a-zA-Z%(]*?(?:\*|\d{4,})")
_WIDE_FORMAT: Final = re.compile(r"\{[^{}]*[:!][^{}]*(?:\d{4,}|\{)")
"""A width of four digits, or a computed width."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with limits on a template's computation."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.globals = {name: self.globals[name] for name in _GLOBALS} | {"range": _range}
        self.filters |= {name: _sized(self.filters[name]) for name in _SIZED_FILTERS}
        self.filters["format"] = _formatted(self.filters["format"])

    def check(self, tree: nodes.Template) -> None:
        """Check a template before a row is read.

        :raises TemplateError: if it has a statement that a mapping does not need, or names one of
            Python's internals.
        """
        for statement in tree.find_all(nodes.Stmt):
            if not isinstance(statement, _STATEMENTS):
                raise TemplateError(f"{{% {_name(statement)} %}} is not allowed in a mapping")
        for loop in tree.find_all(nodes.For):
            if loop.recursive or loop.find(nodes.For):
                raise TemplateError("a loop in a loop is not allowed in a mapping: use the query")
        for access in tree.find_all(nodes.Getattr):
            if access.attr.startswith("__"):
                raise TemplateError(
                    f"{access.attr} is one of Python's internals and not allowed in a mapping"
                )

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return true for an attribute without access to private or changing parts."""
        if type(obj) in _UNCHANGING:  # Jinja's own check takes 1 µs
            return not attr.startswith("_")
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute a binary operation.

        :raises SecurityError: if the result would be too large.
        """
        if operator == "%":
            _check_format(left, _WIDE_PERCENT)
        elif operator == "**":
            _check_power(left, right)
        else:
            _check_repetition(left, right)
            _check_repetition(right, left)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return a sandboxed version of a formatting method, else None."""
        wrapped = super().wrap_str_format(value)
        if wrapped:
            _check_format(value.__self__, _WIDE_FORMAT)
        return wrapped

    def call(self, context: Context, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method.

        :raises SecurityError: if the result would be too large.
        """
        if getattr(called, "__name__", None) in _SIZED_METHODS:
            _check_sizes(args, kwargs)
        return super().call(context, called, *args, **kwargs)


def _name(statement: nodes.Stmt) -> str:
    return type(statement).__name__.lower()


def _range(*args: int) -> range:
    made = range(*args)
    if made[LARGEST:]:
        raise SecurityError
    return made


def _sized(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter to refuse large numbers as arguments."""
    first = 2 if hasattr(filter_, "jinja_pass_arg") else 1

    @wraps(filter_)
    def sized(*args: Any, **kwargs: Any) -> Any:
        _check_sizes(args[first:], kwargs)
        return filter_(*args, **kwargs)

    return sized


def _formatted(filter_: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(filter_)
    def formatted(value: Any, *args: Any, **kwargs: Any) -> Any:
        _check_format(value, _WIDE_PERCENT)
        return filter_(value, *args, **kwargs)

    return formatted


def _check_sizes(args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    for value in (*args, *kwargs.values()):
        if isinstance(value, int):
            _check_size(value)


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise SecurityError


def _check_repetition(text: Any, times: Any) -> None:
    if isinstance(text, (str, bytes, list, tuple)) and isinstance(times, int):
        _check_size(len(text) * times)


def _check_power(base: Any, exponent: Any) -> None:
    if isinstance(base, int) and isinstance(exponent, int):
        digits = (base.bit_length() - 1) * exponent // 3  # a digit has a little more than 3 bits
        _check_size(digits)


def _check_format(text: Any, wide: re.Pattern[str]) -> None:
    if isinstance(text, str) and wide.search(text):
        raise SecurityError
