"""Checking the deployment's query before a row is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Date, Engine, Select, Subquery, bindparam, column, false, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlparse.lexer import tokenize
from sqlparse.tokens import Comment

from airflow_kombo.database.advice import with_advice
from airflow_kombo.database.transactions import begin, cause_of, is_passing
from airflow_kombo.exceptions import ConfigurationError, LedgerError
from airflow_kombo.suggestions import did_you_mean

if TYPE_CHECKING:
    from sqlalchemy.sql.elements import TextClause


_HINTS: Final = frozenset({Comment.Single.Hint, Comment.Multiline.Hint})
"""Comments that the database reads."""


@dataclass(frozen=True)
class DescribedQuery:
    """A working query and the columns of the rows.

    :param rows: The query as a subquery, with its parameters bound.
    :param types: The driver's type of each column, by the column's name.
    :param uses: The names of the parameters in the query.
    """

    rows: Subquery
    types: Mapping[str, object]
    uses: frozenset[str]


def describe(
    engine: Engine, sql: str, parameters: Mapping[str, Any], key_columns: Sequence[str]
) -> DescribedQuery:
    """Bind a query's parameters and read the columns without reading a row.

    :param sql: The query; each parameter is written as `:name`.
    :param parameters: Values by parameter name; the query need not use all of them.
    :param key_columns: Columns that the query must return.
    :raises ConfigurationError: if the query cannot run, or lacks a key column or a parameter.
    :raises LedgerError: if the database cannot be reached now.
    """
    statement, uses = bound_query(sql, parameters)
    types = _types_of(
        engine, select(text("*")).select_from(statement.columns().subquery("r")).where(false())
    )
    if lost := [name for name in key_columns if name not in types]:
        wanted = "; ".join(f"'{name}'{did_you_mean(name, types)}" for name in lost)
        raise ConfigurationError(
            f"The query gives no column {wanted}. Name a column so with AS, such as: my_column AS"
            f" {lost[0]}. Where your table has no integration, application or candidate, write NULL"
            f" AS. It gives: {', '.join(types)}."
        )
    return DescribedQuery(statement.columns(*map(column, types)).subquery("r"), types, uses)


def bound_query(sql: str, parameters: Mapping[str, Any]) -> tuple[TextClause, frozenset[str]]:
    """Bind a query's parameters.

    :returns: The query, and the names of the parameters in it.
    :raises ConfigurationError: if the query has another parameter.
    """
    statement = text(_without_comments(sql).strip().rstrip("; \t\r\n"))
    uses = frozenset(statement.compile().params)
    if unknown := sorted(uses - parameters.keys()):
        name = unknown[0]
        raise ConfigurationError(
            f"The query has an unknown parameter :{name}"
            f"{did_you_mean(name, parameters)}; known are {', '.join(sorted(parameters))}."
        )
    bound = [
        bindparam(name, value, type_=Date() if isinstance(value, date) else None)
        for name, value in parameters.items()
        if name in uses
    ]
    return statement.bindparams(*bound), uses


def _without_comments(sql: str) -> str:
    """Return a query without comments: they may hold a colon, or hide the end of a subquery.

    `sqlparse.format` would refuse a query of some thousand words, such as a long list of ids.
    """
    words: Iterator[tuple[Any, str]] = tokenize(sql)  # type: ignore[no-untyped-call]
    return "".join(
        _blank(word) if kind in Comment and kind not in _HINTS else word for kind, word in words
    )


def _blank(comment: str) -> str:
    return "\n" if comment.endswith(("\n", "\r")) else " "


def refuse_doubled(columns: Sequence[str]) -> None:
    """Refuse columns of which two have the same name.

    :raises ConfigurationError: with the name.
    """
    if doubled := [name for name, times in Counter(columns).items() if times > 1]:
        raise ConfigurationError(f"The query gives '{doubled[0]}' twice: name it once.")


def _types_of(engine: Engine, query: Select[Any]) -> dict[str, object]:
    try:
        with begin(engine, reads_only=True) as connection:
            result = connection.execute(query)
            names = list(result.keys())
            types = [described[1] for described in result.cursor.description]
    except SQLAlchemyError as error:
        kind = LedgerError if is_passing(error) else ConfigurationError
        raise kind(f"The query for the rows cannot run: {with_advice(cause_of(error))}") from None
    refuse_doubled(names)
    return dict(zip(names, types, strict=True))
