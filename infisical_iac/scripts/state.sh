# The state that all hosts of a cluster share, which is no host's own configuration.
root=/etc/infisical

# The files of it, by paths in there.
paths() {
    cd "$root" 2>/dev/null || return 0
    for path in keys/* credentials/*.env backup/*.env backup/ssh_key backup/ssh_key.pub stack/* \
        admin.env deployer.env workspace.json recovery-kit.json stack.yaml stack.json; do
        case $path in
        *.new | *.next | *.old) ;;
        *) test ! -f "$path" || echo "$path" ;;
        esac
    done
}

# What two hosts with the same files have in common; empty without any.
digest() {
    (
        cd "$root" 2>/dev/null && test -n "$(paths)" || exit 0
        paths | sort | xargs sha256sum | sha256sum | cut -c 1-16
    )
}
