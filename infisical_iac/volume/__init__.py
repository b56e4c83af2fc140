"""The data volume: a block device with all that must outlive the host.

What lies on it, each directory bound to its place on the host by `scripts/volume.sh`:

    etc         /etc/infisical                keys, credentials, the stack's configuration
    volumes     /var/lib/docker/volumes       the data
    backups     /var/backups/infisical        the repository of backups, where it is on the host
    saved       /var/backups/infisical-iac    earlier releases, what `destroy` saved
    log         /var/log/infisical-iac        the audit log
    access      /var/log/infisical-access     the access log
    state-*     /var/lib/infisical-*          how backups, drills, restores, upgrades went

So a server that gets the volume is the one that had it before. What belongs to one host alone,
such as its firewall and its maintenance, stays on its own disk. The root file system keeps a unit,
`infisical-data.service`, with the UUID of the file system; Docker does not start without it.
"""
