"""Kombo's result links: their body and their endpoints."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from airflow_kombo.delivery_key import TargetType
from airflow_kombo.kombo_api.writes import HttpUrl, Request, Text, Write


class _Sent(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _RemoteFields(_Sent):
    """Fields of one ATS.

    The set grows, so an unknown member is sent as it is. A member that is not set is not sent: the
    defaults only give members a value in Python.
    """

    model_config = ConfigDict(extra="allow")


class Attribute(_Sent):
    """One line beside the link in the ATS."""

    key: Text
    value: str


class Details(_Sent):
    """Attributes, for an ATS with custom fields."""

    custom_field_name_prefix: str
    attributes: list[Attribute]


class IcimsFields(_RemoteFields):
    """Fields of iCIMS."""

    assessment_package_id: str = ""


class OracleFields(_RemoteFields):
    """Fields of Oracle Recruiting."""

    override_document_category: Literal[
        "IRC_CANDIDATE_RESUME", "IRC_CANDIDATE_COVERLETTER", "MISC", "IRC_INTERNAL"
    ] = "MISC"
    multi_post_to_all_current_applications: bool = False


class GreenhousePostHeaders(_RemoteFields):
    """Headers of Kombo's requests to Greenhouse."""

    on_behalf_of: str | None = Field(default=None, alias="On-Behalf-Of")


class GreenhouseFields(_RemoteFields):
    """Fields of Greenhouse."""

    post_headers: GreenhousePostHeaders = Field(default_factory=GreenhousePostHeaders)


class WorkableFields(_RemoteFields):
    """Fields of Workable."""

    on_behalf_of_user_remote_id: str = ""


class Talent360Fields(_RemoteFields):
    """Fields of Talent360."""

    user_id: str


class RemoteFields(_RemoteFields):
    """Fields for each ATS."""

    icims: IcimsFields = Field(default_factory=IcimsFields)
    oracle: OracleFields = Field(default_factory=OracleFields)
    greenhouse: GreenhouseFields = Field(default_factory=GreenhouseFields)
    workable: WorkableFields = Field(default_factory=WorkableFields)
    talent360: Talent360Fields = Field(
        default_factory=lambda: Talent360Fields.model_construct(user_id="")
    )


class ResultLink(Request, strict=True):
    """The body of both result-link endpoints."""

    label: Text
    url: HttpUrl
    details: Details | None = None
    remote_fields: RemoteFields | None = None

    def body(self) -> bytes:
        """Return the body as JSON, without members that are not set."""
        empty = {name for name in ("details", "remote_fields") if getattr(self, name) is None}
        return self.model_dump_json(by_alias=True, exclude_unset=True, exclude=empty).encode()


RESULT_LINKS: Final = Write(
    name="result_link",
    path="/ats/{target_type}s/{target_id}/result-links",
    request=ResultLink,
    targets={
        TargetType.APPLICATION.value: "application_id",  # first, as Kombo recommends
        TargetType.CANDIDATE.value: "candidate_id",
    },
    once="url",
)
"""The write of result links, on applications or candidates."""
