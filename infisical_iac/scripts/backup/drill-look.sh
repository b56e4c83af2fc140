# Reads an Infisical that a drill has started: drill-look.sh <URL> <directory>
#
# Prints "login deployer" or "login administrator", "canary alive" or "canary none", and how many
# "folders" and "secrets" could be read. A failure's reason is the last line of standard error. The
# values of secrets pass through pipes only; the token is in the directory meanwhile.
set -eu
umask 077
url=$1
token=$2/token
canary=infisical-iac-canary
: >"$token"

fail() {
    echo "$1" >&2
    exit 1
}

# Prints the answer to a request, reduced by a filter of jq, or "error <status> <message>" for a
# refusal: ask <filter> <path> [<option of curl>…]
ask() {
    filter=$1 path=$2
    shift 2
    curl --config "$token" --silent --max-time 300 --noproxy '*' "$@" \
        --write-out '\n%{http_code}' "$url$path" 2>/dev/null |
        jq --raw-input --null-input --raw-output "
            [inputs] | (last | tonumber) as \$status | (.[:-1] | join(\"\n\") | fromjson? // {})
            | if \$status == 200 then $filter
              else \"error \(\$status) \(.message // \"no answer\" | tostring)\" end"
}

# Prints the variables of an env file as JSON.
variables() {
    jq --raw-input --null-input '[inputs | capture("^(?<key>[A-Z_]+)=(?<value>.*)$")] | from_entries' "$1"
}

# Logs in with the credentials on standard input, and keeps the token.
log_in() {
    ask "\"header = \\\"Authorization: Bearer \(.$1)\\\"\"" "$2" \
        --header 'Content-Type: application/json' --data-binary @- >"$token.new"
    sed -n 's/^error //p' "$token.new" >"$token.refused"
    grep '^header' "$token.new" >"$token"
}

deployer() {
    variables /etc/infisical/deployer.env 2>/dev/null |
        jq '{clientId: .INFISICAL_CLIENT_ID, clientSecret: .INFISICAL_CLIENT_SECRET}' |
        log_in accessToken /api/v1/auth/universal-auth/login
}

administrator() {
    variables /etc/infisical/admin.env |
        jq '{email: .INFISICAL_ADMIN_EMAIL, password: .INFISICAL_ADMIN_PASSWORD}' |
        log_in accessToken /api/v3/auth/login || return
    organization=$(ask '.organizations[0].id' /api/v1/organization)
    echo "{\"organizationId\": \"$organization\"}" |
        log_in token /api/v3/auth/select-organization
}

# The canary shows that decrypting works even if there is no other secret.
read_canary() {
    said=$(ask '.secret.secretValue' "/api/v4/secrets/CANARY" --get --data-urlencode "projectId=$1" \
        --data environment=prod --data-urlencode secretPath=/)
    case $said in
    alive) echo "canary alive" ;;
    "error 404 "*) echo "canary none" ;;
    error*) fail "the canary can't be read: ${said#error }" ;;
    *) fail "the canary was altered: its text is not the one that every deploy writes" ;;
    esac
}

# Decrypts all secrets of a folder. Folders that the identity may not read are left out.
read_folder() {
    said=$(ask '"\(.secrets | map(select(.secretValueHidden | not)) | length)"' /api/v4/secrets --get \
        --data-urlencode "projectId=$1" --data-urlencode "environment=$3" \
        --data-urlencode "secretPath=$4" --data viewSecretValue=true \
        --data expandSecretReferences=false --data includeImports=false)
    case $said in
    "error 403 "*) return ;;
    error* | "") fail "the secrets of $4 in $3 of $2 can't be read: ${said#error }" ;;
    esac
    folders=$((folders + 1)) secrets=$((secrets + said))
}

read_environment() {
    paths=$(ask '.folders[].relativePath' /api/v2/folders --get --data-urlencode "projectId=$1" \
        --data-urlencode "environment=$3" --data path=/ --data recursive=true)
    case $paths in
    "error 403 "*) return ;;
    error*) fail "the folders of $3 in $2 can't be listed: ${paths#error }" ;;
    esac
    for path in / $paths; do
        read_folder "$1" "$2" "$3" "$path"
    done
}

if deployer; then
    echo "login deployer"
elif administrator; then
    echo "login administrator"
else
    fail "neither the deployer nor the administrator of /etc/infisical can log in: $(cat "$token.refused")"
fi
projects=$(ask '.projects[] | [.id, .slug, .environments[].slug] | join(" ")' /api/v1/projects)
case $projects in
error*) fail "the projects can't be listed: ${projects#error }" ;;
esac
case $projects in
*" $canary "*) read_canary "$(echo "$projects" | sed -n "s/ $canary .*//p")" ;;
*) echo "canary none" ;;
esac
folders=0 secrets=0
while read -r id slug environments; do
    for environment in $environments; do
        read_environment "$id" "$slug" "$environment"
    done
done <<END
$projects
END
echo "folders $folders"
echo "secrets $secrets"
