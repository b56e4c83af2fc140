# Prints the latest requests of the access log that match, as JSON:
#
#   access.sh <directory> <since> <at most> <text> <ids> <environment> <statuses>
#
# <since> is in seconds of the epoch. The last four may be empty: a text that a line must contain,
# ids of identities and persons, separated by commas, an environment, and a regular expression for
# statuses. With an environment, reads and writes that name none are printed too, since they may
# concern it: reads by a secret's id or by a service token, and writes, which name it in their body.
# The last line is "unfinished" if the search takes
# more than four minutes.
set -eu
test -d "$1" || exit 0
cd "$1"
since=$2

lines() {
    ls -tr access.log* live/access.log 2>/dev/null | while read -r file; do
        test "$(stat --format=%Y "$file")" -lt "$since" || zcat --force "$file" || true
    done
}

# Selects lines with the text, and reads and writes that name no environment.
chosen() {
    text=$4 environment=$6 LC_ALL=C awk 'index($0, ENVIRON["text"]) || ENVIRON["environment"] != "" &&
        /"uri":"(\/api\/v[0-9]+\/(secrets|dashboard|folders|secret-imports)[^A-Za-z0-9_-]|[^?&"]*%[3-7])/ &&
        !/[?&]environment=/'
}

lines | chosen "$@" | { timeout 240 jq --raw-input --compact-output \
    --argjson since "$since" --arg ids "$5" --arg environment "$6" --arg statuses "$7" '
    # The server writes these two at the beginning of the claims, so truncated claims have them too.
    def named($name): [match("\"\($name)\":\"([^\"\\\\]*)\"").captures[0].string][0];
    def cut: {identityId: named("identityId"), userId: named("userId")};
    def claims: gsub("-"; "+") | gsub("_"; "/") | (try @base64d catch "")
        | . as $text | try fromjson catch (if ($text | length) > 700 then $text | cut else {} end)
        | if type == "object" then . else {} end;
    # A service token is logged by the id before its secret. Behind another proxy, the
    # address of the caller comes before that.
    def split_user: capture("^(?:(?<address>[0-9A-Fa-f.:]*) )?(?<claims>.*)$");
    # Reads whose answer may have a secret, and writes; a path may be written with escapes.
    def unnamed($query): ($query | has("environment") | not) and .method != "OPTIONS" and (.uri | test(
        "^(/api/v[0-9]+/(secrets|dashboard|folders|secret-imports)([^A-Za-z0-9_-]|$)|[^?&]*%[3-7])"));
    def who: if startswith("st.") then . else claims | .identityId // .userId // "" end | tostring;
    fromjson? | objects | select(.ts >= $since) | .request as $request
    | ((.user_id // "") | split_user) as $user | ($user.claims | who) as $who
    | ($request.uri | [scan("[?&]([A-Za-z]+)=([^?&]*)")] | map({key: .[0], value: .[1]})
        | from_entries) as $query
    | select($ids == "" or ($who != "" and ($ids | split(",") | index($who))))
    | select($environment == "" or $query.environment == $environment or ($request | unnamed($query)))
    | select($statuses == "" or (.status | tostring | test("^(" + $statuses + ")$")))
    | {at: .ts, seconds: (.duration // 0), who: $who, method: $request.method, uri: $request.uri, query: $query,
       status: .status, address: (if ($user.address // "") == "" then $request.remote_ip else $user.address end)}
' || echo unfinished; } | tail --lines="$3"
