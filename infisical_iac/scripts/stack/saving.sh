# Saves the database and the files of /etc/infisical before they are removed: save <directory>
#
# The directory is new and private to root, and it is complete or missing. The script that sources
# this file defines `database`, which runs a command in the database's container, and `fail`.

# In a trap, $1 would be the script's own argument, so the directory is in $saved.
save() {
    saved=$1
    trap 'rm -rf "$saved.new"' EXIT
    trap 'exit 1' HUP INT TERM
    # A killed run leaves its files unencrypted.
    rm -rf "$(dirname "$saved")"/*.new
    mkdir -p "$saved.new"
    database pg_dump --username infisical --format custom infisical </dev/null \
        >"$saved.new/database.dump"
    listed=$(database pg_restore --list <"$saved.new/database.dump")
    case $listed in
    *"TABLE DATA"*) ;;
    *) fail "the dump of the database can't be read back" ;;
    esac
    tar --create --file "$saved.new/etc-infisical.tar" --directory / etc/infisical
    sync "$saved.new/database.dump" "$saved.new/etc-infisical.tar" "$saved.new"
    mv "$saved.new" "$saved"
    sync "$(dirname "$saved")"
}
