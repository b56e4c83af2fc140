# Prints the latest requests of Infisical's own request log, in the log of its container, as `access.sh`
# prints those of the access log; the log names no callers:
#
#   requests.sh <since> <at most> <environment> <statuses>
#
# <since> is in seconds of the epoch. The last two may be empty. With an environment, reads and writes
# that name none are printed too, since they may concern it. The checks of the container's health are
# left out. Links that give access, and parts of a path that look like a token, are removed.
set -eu
. ./containers.sh
id=$(container infisical)
test -n "$id" || exit 0

docker logs --since "$1" "$id" 2>/dev/null | { timeout 240 jq --null-input --raw-input --compact-output \
    --arg environment "$3" --arg statuses "$4" '
    def harmless: gsub("(?<kept>/(secret-sharing|shared|secret-request)/)[^?&;#]*"; .kept)
        | gsub("/(eyJ|st\\.|[0-9a-f]{64}|[^/?&;#]{200})[^/?&;#]*"; "/");
    def secrets: test("^/api/v[0-9]+/(secrets|dashboard|folders|secret-imports)([^A-Za-z0-9_-]|$)");
    foreach (inputs | fromjson? | objects) as $line ({open: {}};
        .done = null
        | if $line.msg == "incoming request" then .open[$line.reqId] = $line.req
          elif $line.msg == "request completed" and .open[$line.reqId] then
              .done = {request: .open[$line.reqId], line: $line} | del(.open[$line.reqId])
          else . end;
        .done | objects)
    | .request as $request | .line as $line | ($line.time / 1000) as $at
    | select($request.url != "/api/status")
    | ($request.url | [scan("[?&]([A-Za-z]+)=([^?&]*)")] | map({key: .[0], value: .[1]})
        | from_entries) as $query
    | select($environment == "" or $query.environment == $environment
        or (($query | has("environment") | not) and ($request.url | secrets)))
    | select($statuses == "" or ($line.res.statusCode | tostring | test("^(" + $statuses + ")$")))
    | {at: $at, seconds: ($line.responseTime / 1000), who: "", method: $request.method,
       uri: ($request.url | split("?")[0] | harmless),
       query: ($query | with_entries(select(.key
           | IN("projectId", "workspaceId", "workspaceSlug", "environment", "secretPath")))),
       status: $line.res.statusCode, address: $request.remoteAddress}
' || echo unfinished; } | tail --lines="$2"
