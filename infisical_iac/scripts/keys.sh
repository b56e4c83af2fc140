# Keys and passwords, made on the host once and kept. Nothing secret is printed.
#
#   keys.sh check           names what is missing, wrong or stale, a line each
#   keys.sh make <e-mail>   makes what is missing and repairs modes and derived files;
#                           the administrator's password is read from standard input,
#                           and made here if that is empty
#
# A key that exists is never written again. The files in env/ follow from the keys: the
# containers read them, so that no secret stands in compose.yaml.
set -eu
umask 077
root=/etc/infisical
keys="encryption_key auth_secret postgres_password redis_password"
env_files="infisical postgres redis"

random() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }

key() { cat "$root/keys/$1"; }

form() {
    case $1 in
    encryption_key) echo '[A-Za-z0-9+/=._-]{32}' ;;
    *) echo '[A-Za-z0-9+/=._-]{16,}' ;;
    esac
}

bytes() {
    case $1 in
    encryption_key) echo 16 ;;
    auth_secret) echo 32 ;;
    *) echo 24 ;;
    esac
}

env_file() {
    case $1 in
    infisical)
        echo "ENCRYPTION_KEY=$(key encryption_key)"
        echo "AUTH_SECRET=$(key auth_secret)"
        echo "DB_CONNECTION_URI=postgres://infisical:$(key postgres_password)@postgres:5432/infisical"
        echo "REDIS_URL=redis://:$(key redis_password)@redis:6379"
        ;;
    postgres) echo "POSTGRES_PASSWORD=$(key postgres_password)" ;;
    redis) echo "REDIS_PASSWORD=$(key redis_password)" ;;
    esac
}

store() {
    cat >"$1.new"
    sync "$1.new"
    mv -f "$1.new" "$1"
}

# What has to be private: the directories, then the files.
private() {
    echo "$root $root/keys $root/env $root/credentials"
    for name in $keys; do echo "$root/keys/$name"; done
    for name in $env_files; do echo "$root/env/$name.env"; done
    ls "$root/admin.env" "$root/deployer.env" "$root"/credentials/*.env 2>/dev/null || true
}

check() {
    test ! -d /var/lib/docker/volumes/infisical_postgres || echo "database"
    for name in $keys; do
        if ! test -s "$root/keys/$name"; then
            echo "missing $name"
        elif grep -qE '^(6c1fe4e4|5lrMXKK)' "$root/keys/$name"; then
            echo "sample $name"
        elif ! grep -qxE "$(form "$name")" "$root/keys/$name"; then
            echo "malformed $name"
        fi
    done
    test -s "$root/admin.env" || echo "missing admin.env"
    for path in $(private); do
        case $(stat -c '%a %U:%G %F' "$path" 2>/dev/null || echo absent) in
        "700 root:root directory" | "600 root:root regular file") ;;
        absent) ;;
        *) echo "open $path" ;;
        esac
    done
    for name in $env_files; do
        env_file "$name" 2>/dev/null | cmp -s - "$root/env/$name.env" || echo "stale env/$name.env"
    done
}

make() {
    mkdir -p "$root/keys" "$root/env" "$root/credentials"
    for name in $keys; do
        test -s "$root/keys/$name" || random "$(bytes "$name")" | store "$root/keys/$name"
    done
    for name in $env_files; do
        env_file "$name" | store "$root/env/$name.env"
    done
    if ! test -s "$root/admin.env"; then
        IFS= read -r password || true
        printf 'INFISICAL_ADMIN_EMAIL=%s\nINFISICAL_ADMIN_PASSWORD=%s\n' \
            "$1" "${password:-$(random 24)}" | store "$root/admin.env"
    fi
    for path in $(private); do
        chown root:root "$path"
        test -d "$path" && chmod 700 "$path" || chmod 600 "$path"
    done
}

"$@"
