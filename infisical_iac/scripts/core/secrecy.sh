# Removes secrets from the output of programs, so that it can be kept and shown.

# Prints each line of standard input as it is, as Node writes it in JSON, and as Go does.
as_in_logs() {
    sed 'p; s/[\\"]/\\&/g; s/\t/\\t/g; p; s/&/\\u0026/g; s/</\\u003c/g; s/>/\\u003e/g'
}

# Prints every key of this host, one per line, in each form that logs may contain.
all_keys() {
    for key in "$root"/keys/*; do
        test ! -f "$key" || { cat "$key"; echo; }
    done | grep . | as_in_logs
}

# Prints the lines of standard input that contain no key; none at all if no key is known. The keys
# are passed in a here-document rather than in a file, because the disk may be full.
without_secrets() {
    grep -vFf /dev/fd/3 3<<KEYS || true
$(all_keys)
KEYS
}
