# Makes the first administrator and organization: bootstrap.sh <port> <organization as JSON>
#
# The server would accept several bootstraps at once, so runs take turns under a lock, and each
# checks first whether a bootstrap is needed. The password comes from a file and reaches curl by
# standard input, so that no argument shows it. The answer's token is dropped, as nothing needs it.
set -eu
umask 077
api=http://127.0.0.1:$1/api/v1/admin

exec 9>/etc/infisical/lock
flock --wait 120 9 || { echo "another run holds /etc/infisical/lock" >&2; exit 1; }

case $(curl --noproxy '*' --silent --show-error --fail --max-time 20 "$api/config") in
*'"initialized":true'*) exit 0 ;;
*'"initialized":false'*) ;;
*) echo "Infisical's answer to admin/config is not understood" >&2; exit 1 ;;
esac

admin() { sed -n "s/^INFISICAL_ADMIN_$1=//p" /etc/infisical/admin.env; }
answer=$(mktemp /etc/infisical/bootstrap.XXXXXX)
trap 'rm -f "$answer"' EXIT
status=$(
    printf '{"email":"%s","password":"%s","organization":%s}' \
        "$(admin EMAIL)" "$(admin PASSWORD)" "$2" |
        curl --noproxy '*' --silent --show-error --max-time 60 --output "$answer" --write-out '%{http_code}' \
            --header 'Content-Type: application/json' --data @- "$api/bootstrap"
)
test "$status" = 200 || { echo "HTTP $status: $(head -c 400 "$answer")" >&2; exit 1; }
