"""JMESPath, by which YAML says where in an answer something is."""

from __future__ import annotations

from typing import Annotated

import jmespath
import jmespath.exceptions
from pydantic import AfterValidator, Field


def _compiled(text: str) -> str:
    try:
        jmespath.compile(text)
    except jmespath.exceptions.JMESPathError as error:
        said = " ".join(str(error).split("\n")[0].split())
        raise ValueError(f"{text!r} is no JMESPath: {said}. hint: a plain path is `a.b.c`; see jmespath.org") from None
    return text


JmesPath = Annotated[str, AfterValidator(_compiled), Field(description="JMESPath, such as `paging.next.after`.")]
