"""Changes of version that can go back: an upgrade by `apply`, a rollback by hand.

Both are the same: what runs becomes a release, the data that the wanted version is to have are
loaded from a dump into a new volume beside the old one, the volumes change places, and the wanted
version has to prove itself. Until it has, the old volume is there as it was left.

A release is a directory of the host below RELEASES, named after the time and the version:

    compose.yaml       as it was, with the references of the images
    images             a line for each service: its name, the image's reference and its id
    workspace.json     what the deploy remembered of its own things, where there was such a file
    snapshot/          the files of a backup's snapshot, see infisical_iac/backup/__init__.py
    failed             when the change from it failed, and the image that it was to; the snapshot
                       is taken away then, because the data themselves are in use again
    failed.log         the last lines of the containers of that time, without any secret

Its images have a second name on the host, so that nobody removes them as unused.

A rotation puts a new key in the place of an old one. It is done on the host by
`scripts/change/rotation.sh`, in phases that are kept in `/var/lib/infisical-rotation/state`; until
the end both the old key and the new one are in `/etc/infisical/keys`.
"""
