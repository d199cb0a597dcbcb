"""Names in the JVM, each of which is looked for once.

py4j asks the JVM anew each time that a name is used. A class is soon found, but each package on the way to it is looked for, as a
class, in every jar there is: a tenth of a small job's time, and half of a check's.
"""

from __future__ import annotations

from typing import Any

from py4j.java_gateway import JavaPackage
from pyspark.sql import SparkSession

_PACKAGES = ("com", "io", "java", "org", "scala")
# What PySpark asks for with nearly every expression, and finds in the last of the packages that it has imported.
_CLASSES = ("functions", "PythonSQLUtils", "PythonUtils", "SparkSession")


class _Package(JavaPackage):  # type: ignore[misc]
    """A package that remembers what was found in it."""

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if type(found) is JavaPackage:
            found = _Package(found._fqn, found._gateway_client, found._jvm_id)
        setattr(self, name, found)
        return found


def remember_names(spark: SparkSession) -> None:
    """Has the names that are used of a session's JVM remembered, by PySpark and Deequ as well."""
    jvm: Any = spark._jvm
    for name in _PACKAGES:
        setattr(jvm, name, _Package(name, jvm._gateway_client, jvm._id))
    for name in _CLASSES:
        setattr(jvm, name, getattr(jvm, name))
