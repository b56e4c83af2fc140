# One target's repository, through restic:
#
#   backup-target.sh save <target> <directory>   what <directory>/snapshot holds, with the tags in
#                                                <directory>/tags; prints "snapshot <id>",
#                                                "added <bytes>" and "snapshots <number>", each
#                                                once that is so
#   backup-target.sh list <target>               the snapshots, as restic's JSON
#   backup-target.sh fetch <target> <snapshot> <directory>
#                                                the snapshot's files, or those of `latest`
#   backup-target.sh reach <target>              fails if the password on the host does not open it
#   backup-target.sh admit <target> <file>       lets the password in the file open it too
#   backup-target.sh dismiss <target> <file>     lets that one open it no more
#
# A failure's reason is the last line of standard error.
set -eu
umask 077
. ./variables.sh
. ./target-login.sh
root=/etc/infisical/backup
state=/var/lib/infisical-backup
target=$2
# How long a target may take to answer; backup.conf may say otherwise.
ANSWER_SECONDS=60
take_variables "$root/backup.conf" KEEP ANSWER_SECONDS
take_variables "$root/$target.conf" REPOSITORY SSH APPEND_ONLY
unset $target_login
test ! -e "$root/$target.env" || take_variables "$root/$target.env" $target_login
export $target_login
RESTIC_REPOSITORY=$REPOSITORY
# Every sign as a part of an address may have it. The shell itself prints: an argument of a program
# is for everybody to read.
escaped() { printf %s "$1" | od -An -v -tx1 | tr -d '\n' | tr ' ' %; }
# restic before 0.17 takes no login of a rest-server from variables of its own.
test -z "${RESTIC_REST_USERNAME-}" ||
    RESTIC_REPOSITORY="${REPOSITORY%%://*}://$(escaped "$RESTIC_REST_USERNAME"):$(escaped \
        "$RESTIC_REST_PASSWORD")@${REPOSITORY#*://}"
export RESTIC_REPOSITORY RESTIC_PASSWORD_FILE=/etc/infisical/keys/restic_password
export RESTIC_CACHE_DIR=/var/cache/infisical-backup
answer=$(mktemp)
trap 'rm -f "$answer" "$answer.error"' EXIT

fail() {
    cat "$answer.error" >&2
    echo "$1" >&2
    exit 1
}

# Runs restic for so many seconds at most, for where nobody answers it goes on trying; what it
# prints is in the file $answer, the reason of a failure in $reason.
restic_within() {
    seconds=$1
    shift
    test -z "${SSH-}" || set -- --option "sftp.command=$SSH" "$@"
    status=0
    timeout --kill-after 20 "$seconds" restic "$@" >"$answer" 2>"$answer.error" || status=$?
    test $status != 0 || return 0
    reason=$(sed 's/\\n.*//; s/.*"message":"\([^"]*\).*/\1/' "$answer.error" | awk '
        { last = $0 }
        !first && /^(Fatal: |unable to create lock)/ { first = $0; sub(/^Fatal: /, "", first) }
        END { print first ? first : last }')
    case $status in
    124) reason="no answer within $seconds s" ;;
    esac
    return $status
}

# For reading, nothing but the right password helps.
unread() {
    case $reason in
    *"wrong password"*) fail "$REPOSITORY has another password than $RESTIC_PASSWORD_FILE: bring that file back from a recovery kit that was made since the last \`keys rotate restic\`" ;;
    esac
    fail "$reason"
}

# Makes the repository where there has never been one. One that is gone, or another one in its
# place, may be a disk that is not mounted: that is for people to settle.
opened() {
    made="$state/repositories/$(echo "$REPOSITORY" | sha256sum | cut -c 1-16)"
    known=
    test ! -e "$made" || known=$(cat "$made")
    if ! restic_within "$ANSWER_SECONDS" --no-lock cat config; then
        case $reason in
        *"wrong password"*) fail "$REPOSITORY has another password than /etc/infisical/keys/restic_password: restore that file, or move the repository away" ;;
        esac
        test -z "$known" || fail "the repository $REPOSITORY, which has backups, is not to be had: $reason"
        first=$reason
        restic_within "$ANSWER_SECONDS" init || fail "$first"
        restic_within "$ANSWER_SECONDS" --no-lock cat config || fail "$reason"
    fi
    id=$(sed -n 's/.*"id": *"\([0-9a-f]*\)".*/\1/p' "$answer")
    test "${known:-$id}" = "$id" || fail "$REPOSITORY is another repository than the one that has the backups: bring that back, or remove $made to go on with this one"
    mkdir -p "$state/repositories"
    echo "$id" >"$made"
}

save() {
    cd "$1/snapshot"
    opened
    # Takes away those locks alone whose process is gone, or that are older than half an hour.
    restic_within "$ANSWER_SECONDS" unlock || fail "$reason"
    restic_within 14400 --json backup --tag "$(cat "$1/tags")" . || fail "$reason"
    sed -n 's/.*"data_added":\([0-9]*\).*"snapshot_id":"\([0-9a-f]\{8\}\).*/snapshot \2\nadded \1/p' "$answer"
    # The server would refuse it; old snapshots are removed from elsewhere.
    test "${APPEND_ONLY-}" = true ||
        restic_within 7200 forget --tag infisical-iac --group-by '' $KEEP --prune ||
        fail "the snapshot is made, but old ones can't be removed: $reason"
    list >/dev/null
    echo "snapshots $(grep -o '"short_id"' "$answer" | wc -l)"
}

list() {
    restic_within "$ANSWER_SECONDS" --no-lock --json snapshots --tag infisical-iac || unread
    cat "$answer"
}

# restic tells of each file what it could not read; the first says why.
fetch() {
    restic_within 7200 --no-lock restore "$1" --tag infisical-iac --target "$2" && return
    first=$(sed -n 's/^ignoring error for //p' "$answer.error" | head -n 1)
    case $first in
    "") unread ;;
    *"no space left"*) fail "there is no room for the snapshot's files in $2: make room" ;;
    *"no such file"* | *"not exist"* | *"not found"*) what="a pack of it is missing" ;;
    *"too short"* | *EOF*) what="a pack of it is truncated" ;;
    *) what="a pack of it was altered" ;;
    esac
    fail "the snapshot can't be read, for $what: $first"
}

# The id of the key that the password in a file opens the repository by; empty if it doesn't.
identify() {
    id=
    if restic_within 60 --no-lock --json --password-file "$1" key list; then
        id=$(tr '{' '\n' <"$answer" | sed -n '/"current": *true/s/.*"id": *"\([0-9a-f]*\)".*/\1/p')
        test -n "$id" || fail "restic does not tell by which key it opens $REPOSITORY"
        return
    fi
    case $reason in
    *"wrong password"*) ;;
    # In JSON, what follows the reason proper is divided from it so.
    *) fail "${reason%%\\n*}" ;;
    esac
}

reach() {
    identify "$RESTIC_PASSWORD_FILE"
    test -n "$id" || fail "$REPOSITORY has another password than $RESTIC_PASSWORD_FILE"
}

admit() {
    identify "$1"
    test -z "$id" || return 0
    restic_within 60 key add --new-password-file "$1" || fail "$reason"
    identify "$1"
    test -n "$id" || fail "$REPOSITORY does not open by the key that was added"
}

dismiss() {
    test -e "$1" || return 0
    # A key may have been added more than once.
    for attempt in 1 2 3 4 5; do
        identify "$1"
        test -n "$id" || return 0
        restic_within 60 key remove "$id" && continue
        # A lock whose process is gone may be in the way.
        restic_within 60 unlock && restic_within 60 key remove "$id" || fail "$reason"
    done
    fail "$REPOSITORY still opens by the key that was removed"
}

command=$1
shift 2
"$command" "$@"
