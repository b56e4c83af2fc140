# Shared by restores on a single host and on a cluster: their state, and the files of /etc/infisical.
# Each of the two defines its own `data_back`.
. ./forms.sh
here=/var/lib/infisical-restore

state() { cat "$here/state" 2>/dev/null || true; }

current() {
    read -r stamp phase <"$here/state" || fail "no restore is under way"
    kept="$here/aside/$stamp"
}

enter() { echo "$stamp $1" | store "$here/state"; }

begin() {
    test ! -e "$here/state" || fail "another restore has not ended"
    without_backups
    rm -f "$here/undone"
    forget_notes
    mkdir -p "$here/aside/$1/files"
    stamp=$1
    enter begun
}

keep() {
    if [ -e "$kept/files/$1" ] || grep -qsxF "$1" "$kept/new"; then
        return
    elif [ -e "$root/$1" ]; then
        mkdir -p "$(dirname "$kept/files/$1")"
        cp --preserve "$root/$1" "$kept/files/$1.keeping"
        replace "$kept/files/$1.keeping" "$kept/files/$1"
    else
        { cat "$kept/new" 2>/dev/null || true; echo "$1"; } | store "$kept/new"
    fi
}

# Only files that a kit can have are written or removed.
is_of_a_kit() {
    form_of "$1" >/dev/null || fail "no recovery kit has a file $1: nothing was changed"
}

aside() {
    for path; do
        is_of_a_kit "$path"
    done
    current
    enter keys
    for path; do
        keep "$path"
        discard "$root/$path"
    done
}

put() {
    is_of_a_kit "$1"
    # Kept in memory until it was checked.
    given=$(base64 --decode && echo .) || fail "the content for $1 is damaged: nothing was written"
    given=${given%.}
    printf '%s' "$given" | has_form "$1" ||
        fail "the content for $1 does not have the form of such a file: nothing was written"
    mkdir -p "$(dirname "$root/$1")"
    printf '%s' "$given" | store "$root/$1"
}

files_back() {
    cd "$kept/files"
    # An incomplete list ends the script, because files that are not brought back are removed next.
    found=$(find . -type f ! -name '*.keeping')
    echo "$found" | while read -r path; do
        test -n "$path" || continue
        cp --preserve "$path" "$root/$path.new"
        replace "$root/$path.new" "$root/$path"
    done
    test ! -e "$kept/new" || while read -r path; do discard "$root/$path"; done <"$kept/new"
    cd /
}

back() {
    current
    case $phase in
    back) return ;;
    data | backing) data_back ;;
    esac
    files_back
    enter back
}

# rmdir removes only an empty directory.
drop_if_empty() { ! rmdir "$kept/files" 2>/dev/null || rm -rf "$kept"; }

forget() {
    current
    test "$phase" = back || fail "the restore is $phase, and has not been undone"
    rm -rf "$kept"
    # On a host that had no data, the next deploy makes an empty instance, and reports this restore.
    echo "$stamp" | store "$here/undone"
    forget_notes
    discard "$here/state"
}
