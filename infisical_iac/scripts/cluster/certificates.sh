# Manages the certificates with which the services of a cluster authenticate to each other, and this
# deployment's authority, which signs them. Prints nothing secret.
#
#   certificates.sh check   prints "<missing|stale|ends> <file> <seconds>" for each file that `make`
#                           would make; the last word is its end, since the epoch, or 0
#   certificates.sh make    makes these files
#
# In /etc/infisical, keys/cluster_ca_key is the authority's key in base64, tls/ca.crt its
# certificate, and tls/<service>.pem the certificate of a service with its key.
. ./basics.sh
key=$root/keys/cluster_ca_key
here=$root/tls
ca=$here/ca.crt
services="etcd postgres redis sentinel"
# Seconds before its end at which a certificate is renewed. The authority keeps its key then, so
# that the certificates that it has signed stay valid.
soon=5184000
soon_ca=157680000

# Calls $1 for each service and its number.
each() {
    for service in $services; do
        for number in 1 2 3; do "$1" "$service" "$number"; done
    done
}

# Prints the names by which a service is reached. HAProxy passes TLS on without decrypting it.
names() {
    echo "DNS:$1-$2"
    case $1 in
    postgres | redis) echo "DNS:haproxy" ;;
    esac
    echo "DNS:localhost"
    echo "IP:127.0.0.1"
}

# Only members of etcd and its clients log in with a certificate, so only theirs allow client use.
usage() {
    case $1 in
    etcd | postgres) echo "serverAuth, clientAuth" ;;
    *) echo "serverAuth" ;;
    esac
}

# Prints the desired extensions and public key of a certificate; `says` prints the actual ones.
said() {
    usage "$1" | sed 's/serverAuth/TLS Web Server Authentication/; s/clientAuth/TLS Web Client Authentication/'
    names "$1" "$2" | sed 's/^IP:/IP Address:/' | paste -sd , | sed 's/,/, /g'
    openssl pkey -pubout -in "$3" 2>/dev/null
}

says() {
    openssl x509 -noout -ext extendedKeyUsage,subjectAltName -pubkey -in "$1" 2>/dev/null |
        sed '/^X509v3 /d; s/^    \(.*[^ ]\) *$/\1/'
}

# The authority can sign only for the cluster's own names: Infisical trusts it for every address
# that it connects to.
permitted() {
    each names | sort -u | sed 's,^IP:.*,&/255.255.255.255,; s/^/permitted;/' | paste -sd ,
}

constraints() {
    openssl x509 -noout -ext nameConstraints -in "$ca" 2>/dev/null |
        sed -n 's/^ *\(DNS:.*\|IP:.*\)/permitted;\1/p' | paste -sd ,
}

key_of_ca() {
    {
        echo "-----BEGIN PRIVATE KEY-----"
        fold -w 64 "$key"
        echo "-----END PRIVATE KEY-----"
    } | grep .
}

ends() {
    date=$(openssl x509 -noout -enddate -in "$1" 2>/dev/null) && date --date "${date#notAfter=}" +%s || echo 0
}

public() { openssl x509 -noout -pubkey -in "$1" 2>/dev/null; }

check_ca() {
    if ! test -s "$key"; then
        echo "missing keys/cluster_ca_key 0"
    elif ! test -s "$ca"; then
        echo "missing tls/ca.crt 0"
    elif [ "$(key_of_ca | openssl pkey -pubout 2>/dev/null)" != "$(public "$ca")" ] ||
        [ "$(constraints)" != "$(permitted)" ]; then
        echo "stale tls/ca.crt $(ends "$ca")"
    elif ! openssl x509 -noout -checkend $soon_ca -in "$ca" >/dev/null; then
        echo "ends tls/ca.crt $(ends "$ca")"
    fi
}

check_leaf() { # check_leaf <service> <number>
    file=tls/$1-$2.pem
    leaf=$root/$file
    if ! test -s "$leaf"; then
        echo "missing $file 0"
    elif [ "$(says "$leaf")" != "$(said "$1" "$2" "$leaf")" ] || {
        # If the authority's certificate is missing, `make` makes one with the same key.
        test -s "$ca" && ! openssl verify -no_check_time -CAfile "$ca" "$leaf" >/dev/null 2>&1
    }; then
        echo "stale $file $(ends "$leaf")"
    elif ! openssl x509 -noout -checkend $soon -in "$leaf" >/dev/null; then
        echo "ends $file $(ends "$leaf")"
    fi
}

check() {
    check_ca
    each check_leaf
}

# Certificates begin a day early, for hosts whose clock is behind.
sign() { # sign <days> <subject> <request> <argument>…
    days=$1 subject=$2 request=$3
    shift 3
    openssl ca -batch -notext -config config -subj "$subject" -in "$request" \
        -startdate "$(date --utc --date '1 day ago' +%Y%m%d%H%M%SZ)" \
        -enddate "$(date --utc --date "$days days" +%Y%m%d%H%M%SZ)" "$@" 2>said ||
        fail "openssl could not sign a certificate: $(tail -n 1 said)"
}

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }

config() {
    cat <<CONFIG
[ca]
default_ca = own
[own]
new_certs_dir = .
database = index
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
[req]
distinguished_name = empty
[empty]
[authority]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
nameConstraints = critical, $(permitted)
CONFIG
    each config_of_leaf
}

config_of_leaf() {
    cat <<CONFIG
[$1-$2]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = $(usage "$1")
subjectAltName = $(names "$1" "$2" | paste -sd ,)
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CONFIG
}

request() { openssl req -new -key "$1" -subj "/CN=any" -config config -out request; }

make_ca() {
    if ! test -s "$key"; then
        test ! -s "$ca" || fail "$key is gone: restore it from another data node or the recovery \
kit; without it no certificate can be made again"
        new_key ca.pem
        grep -v -e ----- ca.pem | tr -d '\n' | { cat; echo; } | store "$key"
    fi
    key_of_ca >ca.key
    request ca.key
    sign 7300 "/CN=infisical-iac cluster authority" request \
        -selfsign -keyfile ca.key -extensions authority -out ca.crt
    store "$ca" <ca.crt
}

make_leaf() { # make_leaf <service> <number>
    test -n "$(check_leaf "$1" "$2")" || return 0
    key_of_ca >ca.key
    new_key leaf.key
    request leaf.key
    sign 731 "/CN=$1" request -cert "$ca" -keyfile ca.key -extensions "$1-$2" -out leaf.crt
    cat leaf.crt leaf.key | store "$here/$1-$2.pem"
}

make() {
    mkdir -p "$root/keys" "$here"
    chmod 700 "$here"
    work=$(mktemp -d "$here/.new.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    : >index
    config >config
    test -z "$(check_ca)" || make_ca
    each make_leaf
}

"$@"
