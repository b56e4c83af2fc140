# What the scripts share that change what is in /etc/infisical.
set -eu
umask 077
root=/etc/infisical
project=com.docker.compose.project=infisical

fail() {
    echo "$1" >&2
    exit 1
}

# Writes standard input to a file, whole or not at all.
store() {
    cat >"$1.new"
    sync "$1.new"
    mv -f "$1.new" "$1"
    sync "$(dirname "$1")"
}

random() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }
