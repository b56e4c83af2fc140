# Replaces the SSH host key that a server was created with by one that never left the host.
#
#   host-key.sh new      makes a key, which is not used yet, and prints its public half
#   host-key.sh use      has sshd use this key only
#
# Each can be repeated. The first key was in the server's user data, which others can read.
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
    # The public half is moved last: while it is in the old place, `use` is not complete.
    test ! -e "$made" || mv -f "$made" "$ours"
    # The next connection accepts only the new key, which must survive a power cut.
    sync "$(dirname "$ours")"
    test ! -e "$made.pub" || {
        cat "$made.pub" >"$ours.pub"
        chmod 644 "$ours.pub"
        rm -f "$made.pub"
    }
    # Established connections stay. A reload would return before sshd has read the key.
    systemctl try-restart ssh.service
}

"$@"
