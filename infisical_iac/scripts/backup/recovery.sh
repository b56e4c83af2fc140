# Reads the files for a recovery kit.
#
#   recovery.sh contents       prints "file <path> <content in base64>" for each file, and "value
#                              <name> <value>" for further facts of the host
#   recovery.sh fingerprints   prints "record <JSON>" of the last kit, if there is one, and "file
#                              <path> <fingerprint>" for each file; prints nothing secret
set -eu
. ./database.sh
. ./forms.sh
root=/etc/infisical

paths() {
    cd "$root" 2>/dev/null || return 0
    for path in keys/* *.env credentials/*.env backup/*; do
        test ! -f "$path" || ! form_of "$path" >/dev/null || echo "$path"
    done
}

values() {
    echo "value host $(hostname)"
    command -v docker >/dev/null || return 0
    id=$(docker inspect --format '{{ .Image }}' "$(container infisical)" 2>/dev/null) &&
        echo "value infisical_id $id"
    migrations=$({
        find_database
        echo 'SELECT count(*) FROM infisical_migrations' | within="timeout 20" sql
    } 2>/dev/null) && echo "value migrations $migrations"
    true
}

contents() {
    paths | while IFS= read -r path; do
        echo "file $path $(base64 --wrap 0 "$root/$path")"
    done
    values
}

fingerprints() {
    test ! -e "$root/recovery-kit.json" || echo "record $(tr '\n' ' ' <"$root/recovery-kit.json")"
    key=$(cat "$root/keys/encryption_key" 2>/dev/null || true)
    paths | while IFS= read -r path; do
        echo "file $path $({
            printf 'infisical-iac %s %s\n' "$path" "$key"
            cat "$root/$path"
        } | sha256sum | cut -c 1-16)"
    done
}

"$@"
