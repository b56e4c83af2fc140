# What programs say, as it may be kept and shown.

# Every key of this host, a line each.
all_keys() {
    for key in "$root"/keys/*; do
        test ! -f "$key" || { cat "$key"; echo; }
    done | grep .
}

# The lines of standard input but those that a key is in; none where no key is known. No file has
# the keys meanwhile, for the disk may be full.
without_secrets() {
    grep -vFf /dev/fd/3 3<<KEYS || true
$(all_keys)
KEYS
}
