"""Decide what the host is hardened with, besides its firewall; nothing is done here.

On the host, all of it in files of this project's own; files of packages are left as they are, so
that no update waits for an answer to what becomes of them:

    /etc/ssh/sshd_config.d/00-infisical-iac.conf         what sshd allows (ssh.py)
    /etc/sysctl.d/90-infisical-iac.conf                  kernel parameters (kernel.py)
    /etc/sysctl.d/99-protect-links.conf                  those that Debian 12 would set back
    /etc/modprobe.d/infisical-iac.conf                   kernel modules that are never loaded
    /etc/profile.d/infisical-iac.sh                      the shells that people log in to
    /etc/systemd/journald.conf.d/90-infisical-iac.conf   a journal that outlives a boot
    /etc/audit/rules.d/90-infisical-iac.rules            what auditd watches, where it is wanted
    /usr/local/lib/infisical-iac/maintenance.sh          what infisical-maintenance.service runs
    /var/lib/infisical-maintenance/last.json             `ended` and `failure` of its last run
"""
