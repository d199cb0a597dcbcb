"""What all tests share: Spark that starts quickly, since no test has much data, and patience on a busy machine."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from local import service_models
from local.glue import quick_start

# A busy machine is slow, which is no failure.
settings.register_profile("headwater", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headwater")

quick_start.choose()

# What writes the bill of materials brings a parser of XML that openpyxl would take here, and that no job has.
os.environ["OPENPYXL_DEFUSEDXML"] = "False"

# Most tests have AWS clients of their own.
service_models.remember()
