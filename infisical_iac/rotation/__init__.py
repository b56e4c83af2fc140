"""New keys for old: what each key of the host is for, and how an unfinished rotation ends.

The work is done on the host by `scripts/rotation.sh`, in phases that are kept in
`/var/lib/infisical-rotation/state`; until the end both the old key and the new one are in
`/etc/infisical/keys`.
"""
