# What the restores on one host and on a cluster share: their state, and the files of /etc/infisical.
# What `data_back` undoes is another thing on each.
. ./forms.sh
here=/var/lib/infisical-restore

state() { cat "$here/state" 2>/dev/null || true; }

current() {
    read -r stamp phase <"$here/state" || fail "no restore is at work"
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

# Nothing but what a kit can have is written or taken away.
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
    # Kept in memory until it is known to be good.
    given=$(base64 --decode && echo .) || fail "what was given for $1 is damaged: nothing was written"
    given=${given%.}
    printf '%s' "$given" | has_form "$1" ||
        fail "what was given for $1 has not the form of such a file: nothing was written"
    mkdir -p "$(dirname "$root/$1")"
    printf '%s' "$given" | store "$root/$1"
}

files_back() {
    cd "$kept/files"
    # All of them, or none: what is not brought back is removed next.
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

# Only a directory without files goes by rmdir.
drop_if_empty() { ! rmdir "$kept/files" 2>/dev/null || rm -rf "$kept"; }

forget() {
    current
    test "$phase" = back || fail "the restore is $phase, and has not been undone"
    rm -rf "$kept"
    # On a host that had no data before, a deploy would make an empty instance: it tells then.
    echo "$stamp" | store "$here/undone"
    forget_notes
    discard "$here/state"
}
