# Succeeds if somebody has logged in over SSH with a key within a day, from this address or, with
# IPv6, from any address of its /64 network:
#
#   has-logged-in.sh <address or IPv6 network>
#
# fail2ban asks it before a ban, which covers the whole network of an IPv6 address: the operators
# must not be banned.
logins() { # logins <regular expression of addresses> <option>
    journalctl --quiet --since=-1d "$2" --output=cat \
        --grep="^Accepted publickey for [^ ]+ from $1 port " \
        _SYSTEMD_UNIT=ssh.service + _COMM=sshd + _COMM=sshd-session
}
case $1 in
*:*)
    logins "[0-9a-f]*:[0-9a-f:.]+" --reverse |
        sed -n 's/^Accepted publickey for [^ ]* from \([^ ]*\) port .*/\1/p' | sort -u |
        python3 -I -S -c '
import sys
from ipaddress import IPv6Address, IPv6Network
own = IPv6Network((IPv6Address(sys.argv[1].partition("/")[0]), 64), strict=False)
sys.exit(not any(IPv6Address(line.strip()) in own for line in sys.stdin))
' "$1" 2>/dev/null
    ;;
*) logins "$(printf %s "$1" | sed 's/\./\\./g')" --lines=1 | grep -q . ;;
esac
