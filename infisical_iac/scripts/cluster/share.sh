# Copies the state that the hosts of a cluster share from one host to another.
#
#   share.sh give             prints it, in base64; the output is secret
#   share.sh take <serial>    replaces the shared state by standard input, and notes its serial.
#                             Replaced and removed files are kept in
#                             /var/lib/infisical-share/before/<serial>, for the last five serials
#                             that replaced any; secrets that the user gave are not kept
#   share.sh lead <serial>    notes that this host leads, with this serial
. ./basics.sh
. ./state.sh
work=/var/lib/infisical-share

give() {
    cd "$root"
    paths | tar --create --gzip --files-from - | base64 --wrap 0
}

take() {
    before=$work/before/$1
    rm -rf "$work/new"
    # The directory has keys in clear text.
    trap 'rm -rf "$work/new"' EXIT
    mkdir -p "$work/new" "$root"
    base64 --decode | tar --extract --gzip --directory "$work/new"
    # Only files of the shared state are accepted: another host must not write configuration that
    # runs here.
    (cd "$work/new" && find . ! -type d) | sed 's,^\./,,' | while IFS= read -r path; do
        is_state "$path" && test ! -L "$work/new/$path" ||
            fail "another host sent $path, which is not part of the shared state: nothing was copied"
    done
    # The host has no serial until all files are in place.
    discard "$root/serial" "$root/led"
    (cd "$work/new" && find . -type f) | sed 's,^\./,,' | while IFS= read -r path; do
        cmp -s "$work/new/$path" "$root/$path" || put "$path"
    done
    paths | while IFS= read -r path; do
        test -e "$work/new/$path" || aside "$path"
    done
    rm -rf "$work/new"
    let_go
    echo "$1" | store "$root/serial"
}

put() {
    test ! -e "$root/$1" || aside "$1"
    mkdir -p "$(dirname "$root/$1")"
    cp --preserve=mode "$work/new/$1" "$root/$1.new"
    replace "$root/$1.new" "$root/$1"
}

aside() {
    # Not kept: the user has the given secrets, and .env contains them.
    case $1 in
    .env | keys/given_*)
        discard "$root/$1"
        return
        ;;
    esac
    mkdir -p "$(dirname "$before/$1")"
    # The file may exist from an interrupted copy of this serial, or from another cluster.
    mv -f --backup=numbered "$root/$1" "$before/$1"
    sync "$(dirname "$before/$1")" "$(dirname "$root/$1")"
}

let_go() {
    ls "$work/before" 2>/dev/null | sort -n | head -n -5 | while read -r old; do
        rm -rf "$work/before/$old"
    done
}

lead() {
    mkdir -p "$root"
    echo "$1" | store "$root/serial"
    echo "$1" | store "$root/led"
}

"$@"
