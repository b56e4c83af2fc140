"""The beginnings of project files, for tests."""

HEAD = """\
project: {name: ChainAlign, slug: chainalign}
environments:
  - {slug: staging, name: Staging}
  - {slug: production, name: Production}
shared_folders: [/shared]
"""
# The targets of each environment follow this text.
DELIVERED = HEAD + "services:\n  a:\n    folder: /a\n    deliver:\n"
