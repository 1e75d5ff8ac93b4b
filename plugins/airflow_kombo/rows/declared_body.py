"""Members of a request body as a mapping declares them: texts, columns, nested bodies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Final, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Json,
    Tag,
    create_model,
)
from pydantic_core import PydanticCustomError

from airflow_kombo.exceptions import ConfigurationError
from airflow_kombo.kombo_api.writes import Request
from airflow_kombo.rows.templates import Column, Declared

if sys.version_info >= (3, 11):
    from typing import Self
else:
    from typing_extensions import Self

_TEXT: Final = " text"
_COLUMN: Final = " column"
_KINDS: Final = frozenset({_TEXT, _COLUMN})
"""Parts of an error's place that pydantic adds. The blank keeps them apart from member names."""


def _kind_of(source: object) -> str | None:
    if isinstance(source, str):
        return _TEXT
    return _COLUMN if isinstance(source, (Mapping, Column)) else None


Source = Annotated[
    Annotated[str, Tag(_TEXT)] | Annotated[Column, Tag(_COLUMN)],
    Discriminator(
        _kind_of,
        custom_error_type="source",
        custom_error_message='must be a text such as "{{ name }}" or a column such as'
        " {column: name}",
    ),
]
"""Source of a member's text: a template or a column."""


class DeclaredBody(Declared):
    """Declared members of one body, each with a source or a nested body."""

    nested: ClassVar[Mapping[str, type[DeclaredBody]]] = {}
    """The members with a body of their own."""

    @cached_property
    def members(self) -> dict[str, str | Column | DeclaredBody]:
        """Return the declared members by their names in the body."""
        fields = type(self).model_fields
        found = {field.alias or name: getattr(self, name) for name, field in fields.items()}
        return {name: source for name, source in found.items() if source is not None}

    def sources(self, place: str = "") -> Iterator[tuple[str, str | Column]]:
        """Yield each text's place in the body, such as `tag.name`, and the text's source."""
        for name, source in self.members.items():
            if isinstance(source, DeclaredBody):
                yield from source.sources(f"{place}{name}.")
            else:
                yield place + name, source

    @classmethod
    def names(cls) -> Collection[str]:
        """Return the names of all members, declared or not."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @classmethod
    def known_at(cls, place: Sequence[str | int]) -> Collection[str]:
        """Return the names of a mapping's members at the place of an error."""
        if _COLUMN in place:
            return Column.model_fields
        body: type[DeclaredBody] = cls
        for name in place[:-1]:
            body = body.nested.get(str(name), body)
        return body.names()

    @classmethod
    def of(cls, model: type[BaseModel]) -> type[Self]:
        """Build the class of mappings for a request's model.

        :param model: The request, or a nested body in it.
        :raises ConfigurationError: if a nested body is not a `Request`.
        """
        return cls._of(model, ())

    @classmethod
    def _of(cls, model: type[BaseModel], above: tuple[type[BaseModel], ...]) -> type[Self]:
        nested: dict[str, type[DeclaredBody]] = {}
        members: dict[str, Any] = {}
        for number, (name, field) in enumerate(model.model_fields.items()):
            member = field.alias or name
            kind: Any = Source
            body = None if _is_json(field.metadata) else _body_in(field.annotation)
            if body and body not in (*above, model):  # a body inside itself stays a text
                nested[member] = DeclaredBody._of(_checked(body, model, member), (*above, model))
                kind = Annotated[nested[member], BeforeValidator(_must_be_members(nested[member]))]
            # A field's name of ours: a member may have the name of one of our methods.
            members[f"member_{number}"] = (
                (kind, Field(alias=member))
                if field.is_required()
                else (kind | None, Field(default=None, alias=member))
            )
        made = create_model(f"{model.__name__}Mapping", __base__=cls, **members)
        made.nested = nested
        return made


def shown_place(place: Sequence[str | int]) -> str:
    """Return the text of an error's place in a mapping, such as `tag.name`."""
    return ".".join(str(part) for part in place if part not in _KINDS)


def _body_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in a member's type, also in an optional one."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return None if _is_json(parts[1:]) else _body_in(parts[0])
    if origin in {Union, UnionType}:
        others = [part for part in parts if part is not NoneType]
        return _body_in(others[0]) if len(others) == 1 else None
    if not isinstance(annotation, type) or not issubclass(annotation, BaseModel):
        return None
    return None if annotation.__pydantic_root_model__ else annotation  # that one reads a text


def _is_json(metadata: Sequence[Any]) -> bool:
    """Return true for a member with a type for JSON texts."""
    kind: Any = Json  # a class at run time, no class for mypy
    return any(one is kind or isinstance(one, kind) for one in metadata)


def _checked(body: type[BaseModel], model: type[BaseModel], member: str) -> type[BaseModel]:
    if issubclass(body, Request):
        return body
    raise ConfigurationError(
        f"The member {member} of {model.__name__} cannot be used: its type {body.__name__} must be"
        " a subclass of airflow_kombo.kombo_api.writes.Request."
    )


def _must_be_members(body: type[DeclaredBody]) -> Callable[[object], object]:
    """Build a check of a nested body, with a message in the words of a mapping."""

    def check(declared: object) -> object:
        if isinstance(declared, (Mapping, body)):
            return declared
        names = ", ".join(body.names())
        message = "must be a mapping of the members {names}"
        raise PydanticCustomError("body", message, {"names": names})

    return check
