# The database and the files of /etc/infisical, saved before they are taken away: save <directory>
#
# The directory is new, only root can read it, and it is whole or not there. Whoever reads this in
# has `database`, which runs a command in the database's container, and `fail`.

# In a trap, $1 would be what the script was called with.
save() {
    saved=$1
    trap 'rm -rf "$saved.new"' EXIT
    trap 'exit 1' HUP INT TERM
    # What a run that was killed has left is in clear.
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
