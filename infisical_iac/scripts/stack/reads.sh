# Prints the folders whose secrets were read with a token, by the access log:
#
#   reads.sh <directory> <since>
#
# <since> is in seconds of the epoch. The first line is the time of the log's first request. Then
# follows one line for each project, environment and folder: a list in JSON, with the escapes of the
# request. For a read that names no environment, these are empty. The last line is "unfinished" if
# the search takes more than four minutes.
set -eu
test -d "$1" || exit 0
cd "$1"
since=$2

files() {
    ls -tr access.log* live/access.log 2>/dev/null
}

files | while read -r file; do
    zcat --force "$file" 2>/dev/null | head --lines=1 || true
done | jq --raw-input --compact-output 'fromjson? | objects | .ts // empty' | sort -n | head --lines=1

files | while read -r file; do
    test "$(stat --format=%Y "$file")" -lt "$since" || zcat --force "$file" || true
done | LC_ALL=C grep --fixed-strings /secrets | { timeout 240 jq --raw-input --compact-output \
    --argjson since "$since" '
    fromjson? | objects | select(.ts >= $since and .status < 400 and (.user_id // "") != "")
    | .request | select(.method == "GET" and (.uri | test("^/api/v[0-9]+/secrets([^A-Za-z0-9_-]|$)")))
    | ([.uri | scan("[?&]([A-Za-z]+)=([^?&]*)") | {key: .[0], value: .[1]}] | from_entries)
    | if (.environment // "") == "" then ["", "", ""] else
        [.projectId // .workspaceId // .workspaceSlug // "", .environment, .secretPath // "/"] end
' || echo unfinished; } | sort -u
