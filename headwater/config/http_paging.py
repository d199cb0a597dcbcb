"""How an HTTP source's answers go on from page to page."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.expression import JmesPath
from headwater.config.strict import Strict

_BODY = Field(
    None,
    pattern=r"^\w+(\.\w+)*$",
    description="Path of keys within the JSON body that takes it, such as `page.after`, instead of a parameter.",
)


class OnePage(Strict):
    """The answer is complete."""

    kind: Literal["none"] = "none"


class CursorPaging(Strict):
    """The answer carries a cursor; paging ends when there is no `more`."""

    kind: Literal["cursor"]
    cursor: JmesPath = Field(description="JMESPath of the cursor within the answer, such as `paging.cursors.after`.")
    more: JmesPath | None = Field(
        None, description="JMESPath that is true as long as there are more pages; the cursor itself if absent."
    )
    param: str = Field("after", description="Query parameter that takes the cursor.")
    body: str | None = _BODY


class LinkHeaderPaging(Strict):
    """The Link header has the next page's address, as rel=next (RFC 8288); paging ends when it has none."""

    kind: Literal["link_header"]


class NextUrlPaging(Strict):
    """The answer has the next page's address; paging ends when there is no `more`."""

    kind: Literal["next_url"]
    url: JmesPath = Field(description="JMESPath of the address within the answer, such as `links.next`.")
    more: JmesPath | None = Field(
        None, description="JMESPath that is true as long as there are more pages; the address itself if absent."
    )


class PagePaging(Strict):
    """Pages have numbers; paging ends with the `last` one, once there are `total` rows, or else with an empty page.

    A short page never ends it: a server may give fewer rows than it was asked for.
    """

    kind: Literal["page"]
    param: str = Field("page", description="Query parameter that takes the page's number.")
    body: str | None = _BODY
    first: int = Field(1, ge=0, description="Number of the first page.")
    last: JmesPath | None = Field(None, description="JMESPath of the last page's number within each answer.")
    total: JmesPath | None = Field(None, description="JMESPath of the number of all rows within each answer.")

    @model_validator(mode="after")
    def _one_end(self) -> PagePaging:
        if self.last is not None and self.total is not None:
            raise ValueError("last and total both say where paging ends; leave one out")
        return self


class OffsetPaging(Strict):
    """Each page begins after the rows so far; paging ends once there are `total` rows, or else with an empty page."""

    kind: Literal["offset"]
    param: str = Field("offset", description="Query parameter that takes the number of rows to skip.")
    body: str | None = _BODY
    total: JmesPath | None = Field(None, description="JMESPath of the number of all rows within each answer.")


AnyPaging = OnePage | CursorPaging | LinkHeaderPaging | NextUrlPaging | PagePaging | OffsetPaging
Paging = Annotated[AnyPaging, Field(discriminator="kind")]
