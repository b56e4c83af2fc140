"""The host below Infisical: base system, Docker engine, firewall, hardening, bans, data volume.

What hardens it is in files of this project's own; files of packages are left as they are, so
that no update waits for an answer to what becomes of them:

    /etc/ssh/sshd_config.d/00-infisical-iac.conf         what sshd allows (sshd_config.py)
    /etc/sysctl.d/90-infisical-iac.conf                  kernel parameters (kernel.py)
    /etc/sysctl.d/99-protect-links.conf                  those that Debian 12 would set back
    /etc/modprobe.d/infisical-iac.conf                   kernel modules that are never loaded
    /etc/profile.d/infisical-iac.sh                      the shells that people log in to
    /etc/systemd/journald.conf.d/90-infisical-iac.conf   a journal that outlives a boot
    /etc/audit/rules.d/90-infisical-iac.rules            what auditd watches, where it is wanted
    /usr/local/lib/infisical-iac/maintenance.sh          what infisical-maintenance.service runs
    /var/lib/infisical-maintenance/last.json             `ended` and `failure` of its last run

A data volume is a block device with all that must outlive the host. What lies on it, each
directory bound to its place on the host by `scripts/host/volume.sh`:

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
