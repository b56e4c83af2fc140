# What the restores on one host and on a cluster share: their state, and the files of /etc/infisical.
# What `data_back` undoes is another thing on each.
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
    rm -f "$here/writes"
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

aside() {
    current
    enter keys
    for path; do
        keep "$path"
        discard "$root/$path"
    done
}

put() {
    mkdir -p "$(dirname "$root/$1")"
    base64 --decode | store "$root/$1"
}

files_back() {
    cd "$kept/files"
    find . -type f ! -name '*.keeping' | while read -r path; do
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

forget() {
    current
    test "$phase" = back || fail "the restore is $phase, and has not been undone"
    rm -rf "$kept"
    rm -f "$here/writes" "$here/state"
}
