# Uses the repository of one target through restic:
#
#   backup-target.sh save <target> <directory>   saves <directory>/snapshot with the tags in
#                                                <directory>/tags; prints "snapshot <id>",
#                                                "added <bytes>" and "snapshots <number>" as soon
#                                                as each is known
#   backup-target.sh list <target>               prints the snapshots as restic's JSON
#   backup-target.sh fetch <target> <snapshot> <directory>
#                                                fetches the files of a snapshot, or of `latest`
#   backup-target.sh reach <target>              fails if the host's password does not open it
#   backup-target.sh admit <target> <file>       adds the password in the file
#   backup-target.sh dismiss <target> <file>     removes the password in the file
#
# A failure's reason is the last line of standard error.
set -eu
umask 077
. ./variables.sh
. ./target-login.sh
root=/etc/infisical/backup
state=/var/lib/infisical-backup
target=$2
# The seconds that a target may take to answer; backup.conf may set others.
ANSWER_SECONDS=60
take_variables "$root/backup.conf" KEEP ANSWER_SECONDS
take_variables "$root/$target.conf" REPOSITORY SSH APPEND_ONLY
unset $target_login
test ! -e "$root/$target.env" || take_variables "$root/$target.env" $target_login
export $target_login
RESTIC_REPOSITORY=$REPOSITORY
# Percent-encodes each character for an address. Only builtins of the shell print here: everybody on
# the host can read the arguments of a program.
escaped() { printf %s "$1" | od -An -v -tx1 | tr -d '\n' | tr ' ' %; }
# restic before 0.17 reads the login of a rest-server only from the address.
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

# Runs restic for at most $1 seconds, since it retries for ever if nobody answers. Its output
# is in the file $answer, the reason of a failure in $reason.
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
    124)
        refused=$(sed -n 's/.* returned error, retrying after [^:]*: //p' "$answer.error" | tail -n 1)
        reason="no answer within $seconds s${refused:+, last: $refused}"
        ;;
    esac
    return $status
}

# Fails with the reason why the repository can't be read.
unread() {
    case $reason in
    *"wrong password"*) fail "$REPOSITORY has another password than $RESTIC_PASSWORD_FILE: bring that file back from a recovery kit that was made since the last \`keys rotate restic\`" ;;
    *"repository does not exist"* | *"config file: "*"no such file"* | *"config file: "*"not exist"*) fail "there is no repository at $REPOSITORY: the first \`infisical-iac backup now\` makes it; if it has backups, mount it or correct the target's address" ;;
    esac
    fail "$reason"
}

# Makes the repository at its first use. If a known one is missing, or another one is in its place,
# a disk may not be mounted: only the operator can decide what to do.
opened() {
    made="$state/repositories/$(echo "$REPOSITORY" | sha256sum | cut -c 1-16)"
    known=
    test ! -e "$made" || known=$(cat "$made")
    if ! restic_within "$ANSWER_SECONDS" --no-lock cat config; then
        case $reason in
        *"wrong password"*) fail "$REPOSITORY has another password than /etc/infisical/keys/restic_password: restore that file, or move the repository away" ;;
        esac
        test -z "$known" || fail "the repository $REPOSITORY, which has backups, can't be reached: $reason"
        first=$reason
        restic_within "$ANSWER_SECONDS" init || fail "$first"
        restic_within "$ANSWER_SECONDS" --no-lock cat config || fail "$reason"
    fi
    id=$(sed -n 's/.*"id": *"\([0-9a-f]*\)".*/\1/p' "$answer")
    test "${known:-$id}" = "$id" || fail "$REPOSITORY is another repository than the one that has the backups: restore that one, or remove $made to continue with this one"
    mkdir -p "$state/repositories"
    echo "$id" >"$made"
}

save() {
    cd "$1/snapshot"
    opened
    # Removes only locks whose process is gone, or that are older than half an hour.
    restic_within "$ANSWER_SECONDS" unlock || fail "$reason"
    restic_within 14400 --json backup --tag "$(cat "$1/tags")" . || fail "$reason"
    sed -n 's/.*"data_added":\([0-9]*\).*"snapshot_id":"\([0-9a-f]\{8\}\).*/snapshot \2\nadded \1/p' "$answer"
    # The server would refuse to remove old snapshots; that is done from elsewhere.
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

# restic prints an error for each file that it could not read; the first has the cause.
fetch() {
    restic_within 7200 --no-lock restore "$1" --tag infisical-iac --target "$2" && return
    first=$(sed -n 's/^ignoring error for //p' "$answer.error" | head -n 1)
    case $first in
    "") unread ;;
    *"no space left"*) fail "there is no space for the snapshot's files in $2: make room" ;;
    *"no such file"* | *"not exist"* | *"not found"*) what="a pack of it is missing" ;;
    *"too short"* | *EOF*) what="a pack of it is truncated" ;;
    *) what="a pack of it was altered" ;;
    esac
    fail "the snapshot can't be read, because $what: $first"
}

# Prints the id of the repository's key for the password in a file; nothing if it opens none.
identify() {
    id=
    if restic_within 60 --no-lock --json --password-file "$1" key list; then
        id=$(tr '{' '\n' <"$answer" | sed -n '/"current": *true/s/.*"id": *"\([0-9a-f]*\)".*/\1/p')
        test -n "$id" || fail "restic does not report which key opens $REPOSITORY"
        return
    fi
    case $reason in
    *"wrong password"*) ;;
    # In restic's JSON, details follow the reason after a "\n".
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
        # A lock of a dead process may block it.
        restic_within 60 unlock && restic_within 60 key remove "$id" || fail "$reason"
    done
    fail "$REPOSITORY still opens by the key that was removed"
}

command=$1
shift 2
"$command" "$@"
