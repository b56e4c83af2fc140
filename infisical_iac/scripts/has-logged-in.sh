# Whether an address has logged in over SSH with a key within a day: has-logged-in.sh <address>
# For fail2ban: it must not ban who deploys.
address=$(printf %s "$1" | sed 's/\./\\./g')
journalctl --quiet --since=-1d --lines=1 --output=cat \
    --grep="^Accepted publickey for [^ ]+ from $address port " \
    _SYSTEMD_UNIT=ssh.service + _COMM=sshd + _COMM=sshd-session | grep -q .
