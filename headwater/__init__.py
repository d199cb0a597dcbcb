"""Headwater brings marketing, sales and shop data into a Delta lakehouse and Redshift, and proves every row on the way.

Whatever imports it, which jobs, Lambdas and the command line do, has boto3 try a call that a service throttles again for up to a
minute, unless the caller's environment says otherwise.
"""

import os

# A job gets no environment from Glue: this is the one place that all three pass.
os.environ.setdefault("AWS_RETRY_MODE", "standard")
os.environ.setdefault("AWS_MAX_ATTEMPTS", "8")
