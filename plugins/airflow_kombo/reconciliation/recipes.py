"""Recipes: for each tool and type of target, the read that would show a link."""

from __future__ import annotations

import string
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.kombo_api.in_flight_cap import DEFAULT, tool_of

if sys.version_info >= (3, 11):
    from enum import StrEnum
else:
    from backports.strenum import StrEnum


class Place(StrEnum):
    """Placeholders of a recipe: the ids of a target."""

    TARGET_ID = "target_id"
    """Kombo's id of the target."""
    CANDIDATE_ID = "candidate_id"
    """Kombo's id of the target's candidate."""
    REMOTE_ID = "remote_id"
    """The target's id in the applicant tracking system."""
    CANDIDATE_REMOTE_ID = "candidate_remote_id"
    """The candidate's id in the applicant tracking system."""


class Source(StrEnum):
    """Certainty of a recipe."""

    INFERRED = "inferred"
    """Nobody documents that this read shows links. It may find a link, and never deny one."""
    DOCUMENTED = "documented"
    TRIED = "tried"
    """A person posted a link to this tool, and the read showed the link."""


class Recipe(BaseModel):
    """Read of one tool's records that would show a link.

    :param get: A read of Kombo's own API; or
    :param passthrough: the tool's own API by Kombo's names, such as `lever/v1`, with
    :param method: its HTTP method (POST only for an API whose reads are POSTs), and
    :param path: the path below the base address that Kombo puts before it.
    :param params: Query parameters.
    :param data: The body of a POST.
    :param lists: Paths to the lists of entries in the answer; `.` is the answer itself.
    :param texts: Members of an entry, at any depth, whose texts may have the address.
    :param next: The path to the next page's cursor, or to whatever says that there is one.
    :param next_param: The parameter that takes the cursor. Without it the next page is not read.
    :param source: Certainty of the recipe.
    :param because: The source, in a sentence.
    :param when_absent: The status of a row whose link is proved to be absent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    get: str | None = None
    passthrough: str | None = None
    method: Literal["GET", "POST"] = "GET"
    path: str | None = None
    params: Mapping[str, str] = Field(default_factory=dict)
    data: Mapping[str, Any] = Field(default_factory=dict)
    lists: tuple[str, ...] = Field(min_length=1)
    texts: tuple[str, ...] = Field(min_length=1)
    next: str | None = None
    next_param: str | None = None
    source: Source
    because: str = Field(min_length=1)
    when_absent: Literal["unknown", "retryable"] = "unknown"

    @property
    def may_deny(self) -> bool:
        """Return True if a row whose link is proved to be absent is to be sent again."""
        return self.when_absent == "retryable"

    @property
    def name(self) -> str:
        """Return the read's name, for evidence and log."""
        return f"GET {self.get}" if self.get else f"{self.method} {self.passthrough}{self.path}"

    @property
    def places(self) -> frozenset[Place]:
        """Return the placeholders of the recipe."""
        return frozenset(Place(one) for one in _placeholders(self))

    @model_validator(mode="after")
    def _is_whole(self) -> Recipe:
        if (self.get is None) == (self.passthrough is None):
            raise ValueError("name either get or passthrough")
        if (self.passthrough is None) != (self.path is None):
            raise ValueError("path belongs to passthrough, and passthrough needs it")
        if self.get and (self.method != "GET" or self.data):
            raise ValueError("Kombo's own reads are GETs without data")
        if self.data and self.method != "POST":
            raise ValueError("data needs the method POST")
        for path in (self.get, self.path):
            if path is not None and not path.startswith("/"):
                raise ValueError("a path begins with /")
        if self.may_deny and self.source is Source.INFERRED:
            raise ValueError(
                "when_absent: retryable needs a source that is documented or tried; an inferred"
                " recipe may find a link, and never deny one"
            )
        if unknown := set(_placeholders(self)) - set(map(str, Place)):
            raise ValueError(
                f"unknown placeholders {', '.join(sorted(unknown))}; there are"
                f" {', '.join(map(str, Place))}"
            )
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tools: Mapping[str, Mapping[Literal["application", "candidate"], Recipe]]


class Recipes:
    """Recipes of all tools.

    :param tools: Recipes by tool and type of target.
    """

    def __init__(self, tools: Mapping[str, Mapping[Any, Recipe]]) -> None:
        self._tools = tools

    @classmethod
    def load(cls, path: str | Path) -> Recipes:
        """Read the recipes from a YAML file.

        :raises ConfigurationError: naming each entry that cannot be used.
        """
        try:
            given = yaml.safe_load(Path(path).read_text("utf-8"))
            file = _File.model_validate(given or {})
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigurationError(f"The recipes {path} cannot be read: {error}") from None
        except ValidationError as error:
            wrong = "; ".join(map(_problem, error.errors(include_url=False, include_input=False)))
            raise ConfigurationError(f"The recipes {path} cannot be used: {wrong}.") from None
        return cls(file.tools)

    def of(self, integration_id: str, target_type: str) -> Recipe | None:
        """Return the recipe for a target, or None if there is none."""
        recipes = self._tools.get(tool_of(integration_id), self._tools.get(DEFAULT, {}))
        return recipes.get(target_type)


_FORMATTER: Final = string.Formatter()


def _placeholders(recipe: Recipe) -> list[str]:
    """Return the placeholders as written: a format or a conversion makes an unknown one."""
    texts = [recipe.get or "", recipe.path or "", *recipe.params.values(), *_texts_in(recipe.data)]
    try:
        return [
            f"{name}{'!' if conversion else ''}{conversion or ''}{':' if spec else ''}{spec}"
            for text in texts
            for _, name, spec, conversion in _FORMATTER.parse(text)
            if name is not None
        ]
    except ValueError as error:  # pydantic adds the place of the entry
        raise ValueError(f"a placeholder cannot be read: {error}") from None


def _texts_in(value: object) -> list[str]:
    """Return all texts in a value of JSON."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [text for one in value for text in _texts_in(one)] if isinstance(value, list) else []


def _problem(error: Mapping[str, Any]) -> str:
    place = ".".join(map(str, error["loc"]))
    return f"{place}: {error['msg'].removeprefix('Value error, ')}"
