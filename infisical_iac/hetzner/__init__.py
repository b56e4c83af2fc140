"""The server at Hetzner Cloud and all that belongs to it: made, looked at, replaced, destroyed.

What this project makes there carries two labels, one of them with the deployment's name; nothing
without both is ever changed, see `ownership`. The API's token is read from the environment and
never written anywhere.
"""
