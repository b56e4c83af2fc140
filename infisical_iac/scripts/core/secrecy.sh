# Removes secrets from the output of programs, so that it can be kept and shown.

# Prints every key of this host, a line each.
all_keys() {
    for key in "$root"/keys/*; do
        test ! -f "$key" || { cat "$key"; echo; }
    done | grep .
}

# Prints the lines of standard input that contain no key; none at all if no key is known. The keys
# are passed in a here-document rather than a file of its own: the disk may be full.
without_secrets() {
    grep -vFf /dev/fd/3 3<<KEYS || true
$(all_keys)
KEYS
}
