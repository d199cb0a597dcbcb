"""What a job brings from S3, on local disk."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

from local.glue import speed


class Library:
    """Files from S3 on local disk, fetched again only when their ETag has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._etags: dict[str, tuple[str, Path]] = {}
        self._s3: Any = boto3.client("s3")

    def fetch(self, uri: str) -> Path:
        """Returns the local copy of an S3 object; FileNotFoundError when there is none."""
        location = urlsplit(uri)
        request = {"Bucket": location.netloc, "Key": location.path.lstrip("/")}
        known = self._etags.get(uri)
        try:
            answer = self._s3.get_object(**request, **({"IfNoneMatch": known[0]} if known else {}))
        except ClientError as error:
            if known is not None and error.response["ResponseMetadata"]["HTTPStatusCode"] == 304:
                return known[1]
            raise FileNotFoundError(f"{uri}: {error.response['Error']['Code']}") from error
        path: Path = self._folder / answer["ETag"].strip('"') / Path(location.path).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer["Body"].read())
        if path.suffix == ".zip":
            speed.compile_zip(path)
        self._etags[uri] = (answer["ETag"], path)
        return path

    def importable(self, uri: str) -> Path:
        """Returns what to put on sys.path for a zip, a wheel (unpacked) or a single module."""
        path = self.fetch(uri)
        if path.suffix == ".py":
            return path.parent
        if path.suffix != ".whl":
            return path
        unpacked = path.parent / "unpacked"
        if not unpacked.exists():
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(unpacked)
        return unpacked
