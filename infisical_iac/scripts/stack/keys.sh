# Makes keys and passwords on the host, once. Prints nothing secret.
#
#   keys.sh check [<more>]            prints the missing, malformed and stale files, those with
#                                     wrong modes, and the administrator, a line each
#   keys.sh make <e-mail> [<more>]    makes missing keys, repairs modes, and writes the derived
#                                     file; reads the administrator's password from standard input,
#                                     and makes one if that is empty; then secrets that the user
#                                     gave, a line "<key> <base64>" each
#   keys.sh derive                    writes the derived file
#   keys.sh forget <key>…             removes secrets that the user gave, and writes the derived file
#
# <more> is one word with the keys that only some hosts have: those of a cluster, those of a kind of
# ingress, which begin with edge_ and which Compose reads too, the passwords for metrics, which begin
# with metrics_, and secrets that the user gave, which begin with given_.
#
# Only rotation.sh replaces a key that exists. The derived file .env has the stack's keys for
# Compose, so that compose.yaml needs no secret.
. ./basics.sh
. ./forms.sh
. ./given.sh
stack_keys="encryption_key auth_secret postgres_password redis_password"
keys="$stack_keys restic_password kit_signing_key"

# Prints the length of a new key in random bytes, each written as two hexadecimal digits.
# rotation.sh makes new keys of 32 bytes. The administrator's password has a line of its own, so
# that its length can be changed separately: 48 digits.
bytes() {
    case $1 in
    encryption_key) echo 16 ;;
    auth_secret | kit_signing_key) echo 32 ;;
    admin_password) echo 24 ;;
    *) echo 24 ;;
    esac
}

env_file() {
    for name in $stack_keys $(ls "$root/keys" | grep -xE 'edge_[a-z_]*|metrics_redis_password'); do
        echo "$(variable_of "$name")=$(cat "$root/keys/$name")"
    done
    # Compose takes a text in such quotes literally, but for \' and \\, which forms.sh refuses.
    for name in $(given); do
        printf "%s='%s'\n" "$(variable_of "$name")" "$(sed "s/'/\\\\'/g" "$root/keys/$name")"
    done
}

given() { ls "$root/keys" 2>/dev/null | grep -x 'given_[a-z0-9_]*' || true; }

forget() {
    for name; do discard "$root/keys/$name"; done
    derive
}

# Prints the paths that only root may read: the directories, then the files.
private() {
    echo "$root $root/keys $root/credentials $root/backup $root/.env"
    for name in $keys $(given); do echo "$root/keys/$name"; done
    ls "$root/admin.env" "$root/deployer.env" "$root/canary.env" "$root"/credentials/*.env 2>/dev/null || true
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
    for name in $(given) $(ls "$root/keys" 2>/dev/null | grep -x 'metrics_[a-z_]*' || true); do
        case " $keys " in *" $name "*) ;; *) echo "surplus $name" ;; esac
    done
    env_file 2>/dev/null | cmp -s - "$root/.env" || echo "stale .env"
}

derive() { env_file | store "$root/.env"; }

make() {
    keys="$keys ${2-}"
    mkdir -p "$root/keys" "$root/credentials" "$root/backup"
    exec 9>"$root/lock"
    flock --wait 120 9 || { echo "another run holds $root/lock" >&2; exit 1; }
    IFS= read -r password || true
    while read -r name value; do
        echo "$value" | base64 --decode | store "$root/keys/$name"
    done
    for name in $keys; do
        case $name in given_*) continue ;; esac
        test -s "$root/keys/$name" || random "$(bytes "$name")" | store "$root/keys/$name"
    done
    derive
    if ! test -s "$root/admin.env"; then
        printf 'INFISICAL_ADMIN_EMAIL=%s\nINFISICAL_ADMIN_PASSWORD=%s\n' \
            "$1" "${password:-$(random "$(bytes admin_password)")}" | store "$root/admin.env"
    fi
    for path in $(private); do
        chown root:root "$path"
        test -d "$path" && chmod 700 "$path" || chmod 600 "$path"
    done
}

"$@"
