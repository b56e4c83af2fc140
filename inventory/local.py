"""The host that this runs on, as root: for a check from the host's own side.

The group has the name of the production inventory's, so that `group_data/hetzner.py` counts. For
settings in another file, copy this one and give the variable the name of that file.
"""

hetzner = ["@local"]
