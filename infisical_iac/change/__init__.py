"""Changes of version that can be undone: an upgrade by `apply`, a rollback by hand.

Both are the same transaction on a single host (`agent/upgrade.py`), which a unit there runs:

1. The running version is kept as a release.
2. The edge is closed, and Infisical stops.
3. The data are dumped, and those for the desired version are loaded from a dump into a new volume
   next to the old one.
4. The two volumes are swapped.
5. The desired version has to pass the post-upgrade checks (`agent/proof.py`), the last of which
   opens the edge. Until then the old volume is kept unchanged.

A cluster goes on serving during an upgrade (`agent/cluster_upgrade.py`), which its leader runs. It
closes the edge and stops Infisical only for a rollback to the data of a release.

A release is a directory of the host below RELEASES, named after the time and the version:

    compose.yaml       as it was, with the references of the images
    images             a line for each service: its name, the image's reference and its id
    workspace.json     the deploy's record of the resources that it manages, if there was one
    snapshot/          the files of a backup's snapshot, see infisical_iac/backup/__init__.py
    failed             when the change from this release failed, and to which image; the snapshot
                       is removed then, because the data themselves are in use again
    failed.log         the last lines of the containers of that time, without any secret

Its images have a second name on the host, so that nobody removes them as unused.

A rotation replaces a key. On a single host it is a transaction (`agent/transaction.py`), whose unit
goes on if the connection is lost. On a cluster, and for the repositories of backups, this side
takes its steps, in phases. `/var/lib/infisical-rotation/state` has the journal or the phase. Until
the end, both the old and the new key are in `/etc/infisical/keys`.
"""
