"""`python -m headwater.deploy.site build/site` writes the site."""

import sys
from pathlib import Path

from headwater.deploy.site.build import write_site

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[3]
    print(write_site(ROOT, Path(sys.argv[1])) / "index.html")  # noqa: T201 - where to look
