# Shared by the scripts that change files in /etc/infisical.
set -eu
umask 077
root=/etc/infisical
project=com.docker.compose.project=infisical

fail() {
    echo "$1" >&2
    exit 1
}

# Writes standard input to a file, completely or not at all.
store() {
    cat >"$1.new"
    replace "$1.new" "$1"
}

# Moves the file $1 to $2. A power cut can't bring the old file back.
replace() {
    sync "$1"
    mv -f "$1" "$2"
    sync "$(dirname "$2")"
}

# Removes files. A power cut can't bring them back.
discard() {
    rm -f -- "$@"
    for gone; do
        gone=$(dirname "$gone")
        test ! -d "$gone" || sync "$gone"
    done
}

# Removes the containers that match a filter. A swarm that ends removes its own at the same time, and
# Docker refuses a second removal until the first one is done.
remove_containers() {
    for _ in $(seq 60); do
        found=$(docker ps --all --quiet --filter "$1") || fail "Docker does not answer"
        test -n "$found" || return 0
        ! refusal=$(docker rm --force $found 2>&1 >/dev/null) || return 0
        sleep 0.5
    done
    fail "containers can't be removed: $refusal"
}

# Prints a value that identifies the encryption key and reveals nothing of it.
key_fingerprint() {
    {
        printf 'infisical-iac encryption key '
        tr -d '\n' <"$root/keys/encryption_key"
    } | sha256sum | cut -c 1-16
}

random() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }
