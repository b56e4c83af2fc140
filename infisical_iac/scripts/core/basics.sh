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
    replace "$1.new" "$1"
}

# Moves the file $1 to $2, where no power cut brings an older one back.
replace() {
    sync "$1"
    mv -f "$1" "$2"
    sync "$(dirname "$2")"
}

# Removes files, none of which a power cut brings back.
discard() {
    rm -f -- "$@"
    for gone; do
        gone=$(dirname "$gone")
        test ! -d "$gone" || sync "$gone"
    done
}

# What tells the encryption key from all others, and nothing of it.
key_fingerprint() {
    {
        printf 'infisical-iac encryption key '
        tr -d '\n' <"$root/keys/encryption_key"
    } | sha256sum | cut -c 1-16
}

random() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }
