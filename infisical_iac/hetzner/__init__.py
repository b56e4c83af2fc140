"""The server at Hetzner Cloud and all that belongs to it: made, looked at, replaced, destroyed.

What this project makes there carries the label `managed-by=infisical-iac`; nothing without it is
ever changed. The API's token is read from the environment and never written anywhere.
"""
