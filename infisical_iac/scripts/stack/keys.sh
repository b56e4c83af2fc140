# Keys and passwords, made on the host once and kept. Nothing secret is printed.
#
#   keys.sh check [<more>]            names what is missing, wrong or stale, and the administrator,
#                                     a line each
#   keys.sh make <e-mail> [<more>]    makes what is missing and repairs modes and the derived file;
#                                     the administrator's password is read from standard input,
#                                     and made here if that is empty
#   keys.sh derive                    writes the derived file
#
# <more> are keys, in one word, that not every host has: those of a cluster, or of a kind of ingress.
# Compose reads the latter too, whose names begin with edge_.
#
# A key that exists is never written again, but by rotation.sh. The file .env follows from the stack's keys: Compose
# reads it beside compose.yaml, so that no secret stands in there.
. ./basics.sh
. ./forms.sh
stack_keys="encryption_key auth_secret postgres_password redis_password"
keys="$stack_keys restic_password kit_signing_key"

# Of each, in random bytes, of which two hexadecimal digits are written; rotation.sh makes new ones of 32.
bytes() {
    case $1 in
    encryption_key) echo 16 ;;
    auth_secret | kit_signing_key) echo 32 ;;
    admin_password) echo 24 ;;
    *) echo 24 ;;
    esac
}

env_file() {
    for name in $stack_keys $(ls "$root/keys" | grep -x 'edge_[a-z_]*'); do
        echo "$(echo "$name" | tr a-z A-Z)=$(cat "$root/keys/$name")"
    done
}

# What has to be private: the directories, then the files.
private() {
    echo "$root $root/keys $root/credentials $root/backup $root/.env"
    for name in $keys; do echo "$root/keys/$name"; done
    ls "$root/admin.env" "$root/deployer.env" "$root"/credentials/*.env 2>/dev/null || true
}

check() {
    keys="$keys ${1-}"
    test ! -d /var/lib/docker/volumes/infisical_postgres || echo "database"
    test ! -d /var/lib/docker/volumes/infisical_patroni || echo "replicas"
    test ! -d /var/lib/infisical-backup/repositories || echo "repositories"
    for name in $keys; do
        if ! test -s "$root/keys/$name"; then
            echo "missing $name"
        elif grep -qE '^(6c1fe4e4|5lrMXKK)' "$root/keys/$name"; then
            echo "sample $name"
        elif ! has_form "keys/$name" <"$root/keys/$name"; then
            echo "malformed $name"
        fi
    done
    test -s "$root/admin.env" || echo "missing admin.env"
    sed -n 's/^INFISICAL_ADMIN_EMAIL=/admin /p' "$root/admin.env" 2>/dev/null || true
    stat -c '%n|%a %U:%G %F' $(private) 2>/dev/null | while IFS='|' read -r path state; do
        case $state in
        "700 root:root directory" | "600 root:root regular file") ;;
        *) echo "open $path" ;;
        esac
    done
    env_file 2>/dev/null | cmp -s - "$root/.env" || echo "stale .env"
}

derive() { env_file | store "$root/.env"; }

make() {
    keys="$keys ${2-}"
    mkdir -p "$root/keys" "$root/credentials" "$root/backup"
    exec 9>"$root/lock"
    flock --wait 120 9 || { echo "another run holds $root/lock" >&2; exit 1; }
    for name in $keys; do
        test -s "$root/keys/$name" || random "$(bytes "$name")" | store "$root/keys/$name"
    done
    derive
    if ! test -s "$root/admin.env"; then
        IFS= read -r password || true
        printf 'INFISICAL_ADMIN_EMAIL=%s\nINFISICAL_ADMIN_PASSWORD=%s\n' \
            "$1" "${password:-$(random "$(bytes admin_password)")}" | store "$root/admin.env"
    fi
    for path in $(private); do
        chown root:root "$path"
        test -d "$path" && chmod 700 "$path" || chmod 600 "$path"
    done
}

"$@"
