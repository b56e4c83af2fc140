# The SSH host key that a server was made with, replaced by one that never left it.
#
#   host-key.sh new      prints the public half of a key that is made and not yet used
#   host-key.sh use      lets sshd use it, and no other
#
# Each can be run again. A key that came with the server's user data is known to whoever reads those.
set -eu
umask 077
ours=/etc/ssh/ssh_host_ed25519_key
made=/etc/ssh/infisical_iac_next_host_key
mark=/etc/ssh/infisical_iac_host_key

new() {
    if test -e "$made.pub"; then
        cat "$made.pub"
    elif test -e "$mark"; then
        cat "$ours.pub"
    else
        rm -f "$made"
        ssh-keygen -q -t ed25519 -N '' -C '' -f "$made"
        cat "$made.pub"
    fi
}

use() {
    test -e "$made" || test -e "$mark"
    touch "$mark"
    sync "$mark"
    # The public half last: as long as it is there, this is not done.
    test ! -e "$made" || mv -f "$made" "$ours"
    # Whoever connects next knows the new one alone, after a power cut too.
    sync "$(dirname "$ours")"
    test ! -e "$made.pub" || {
        cat "$made.pub" >"$ours.pub"
        chmod 644 "$ours.pub"
        rm -f "$made.pub"
    }
    # Connections that are there go on.
    systemctl try-reload-or-restart ssh.service
}

"$@"
