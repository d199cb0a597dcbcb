"""The documentation as a small static site with search, made of the pages in docs/: `python -m headwater.deploy.site build/site`.

It is files alone, and loads nothing from another host: a browser opens it from a folder, and any web server serves it.
"""
