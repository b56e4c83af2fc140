# Makes the first administrator and organization: bootstrap.sh <port> <organization as JSON>
#
# The server accepts several bootstraps at one moment, so they take turns under a lock, and
# each asks first whether it is still needed. The body is put together here, from the file
# that holds the administrator's password, and reaches curl on its standard input. The answer
# holds a token that nobody needs: it is dropped.
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
