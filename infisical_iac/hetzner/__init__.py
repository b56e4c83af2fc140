"""Create, observe, replace and destroy servers at Hetzner Cloud with all that belongs to them.

Each kind of resource is a class in `parts`, `server` or `edge`; `plan` walks all of them. Only
resources with the labels of the deployment are ever changed, see `api`. The API's token is read
from the environment and never written anywhere.
"""
