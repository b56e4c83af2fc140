"""The host below Infisical: base system, Docker engine, firewall, hardening, bans, data volume.

Hardening is in files of this project's own. Files of packages stay unchanged, because apt would
otherwise stop an update to ask which version to keep:

    /etc/ssh/sshd_config.d/00-infisical-iac.conf         sshd's options (sshd_config.py)
    /etc/sysctl.d/90-infisical-iac.conf                  kernel parameters (kernel.py)
    /etc/sysctl.d/99-protect-links.conf                  parameters that Debian 12 would reset
    /etc/modprobe.d/infisical-iac.conf                   kernel modules that are never loaded
    /etc/profile.d/infisical-iac.sh                      umask and timeout of login shells
    /etc/systemd/journald.conf.d/90-infisical-iac.conf   a journal kept across boots
    /etc/audit/rules.d/90-infisical-iac.rules            auditd's rules, with the setting auditd
    /usr/local/lib/infisical-iac/agent-*.pyz             observes the host (infisical_iac/agent)
    /var/lib/infisical-maintenance/last.json             `ended` and `failure` of its last run

A data volume is a block device with all data that must outlive the host. `agent/volume.py` binds
each of its directories to its place on the host:

    etc         /etc/infisical                keys, credentials, the stack's configuration
    volumes     /var/lib/docker/volumes       the data
    backups     /var/backups/infisical        the backup repository, if it is on the host
    saved       /var/backups/infisical-iac    earlier releases, what `destroy` saved
    log         /var/log/infisical-iac        the audit log
    access      /var/log/infisical-access     the access log
    state-*     /var/lib/infisical-*          results of backups, drills, restores, upgrades

So a new server takes over from the old one by attaching its volume. What belongs to one host only,
such as its firewall and its maintenance, stays on the host's own disk. There, the unit
`infisical-data.service` holds the UUID of the volume's file system. Docker does not start before
that unit.
"""
