"""The server at Hetzner Cloud and all that belongs to it: made, observed, replaced, destroyed.

Each kind of resource is a class in `parts`, `server` or `edge`; `plan` walks all of them. Only what
carries the labels of the deployment is ever changed, see `api`. The API's token is read from the
environment and never written anywhere.
"""
