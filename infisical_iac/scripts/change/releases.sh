# Prints what the host runs, and manages the releases that it keeps:
#
#   releases.sh inspect <image>     prints "database" if there is one, "image <service> <reference>
#                                   <id>" of what runs or ran last, "desired <id>" of <image>, and
#                                   "failed <release> <time> <image>" of failed changes of version
#   releases.sh free_space          prints "<device> <free KiB>" for Docker's images, for its volumes,
#                                   which may be on a data volume, and for releases; then the KiB of
#                                   the database
#   releases.sh given_up            prints data that were given up, as given-up.sh does
#   releases.sh migrations          prints the number of migrations of the database
#   releases.sh make <release>      makes a release of the running version, without its dump
#   releases.sh list                prints the releases for change/releases.py
#   releases.sh reset <release>     gives its images their names back; prints the missing ones
#   releases.sh forget <release>…   removes releases
#   releases.sh drop <image>…       removes images that no container uses
#
# infisical_iac/change/__init__.py describes a release.
. ./basics.sh
. ./database.sh
. ./given-up.sh
. ./free-space.sh
releases=/var/backups/infisical-iac/upgrades
kept=infisical-iac/kept
main=infisical_postgres
# The nodes of a cluster may still have volumes from the time as a single host.
if docker service inspect infisical_infisical >/dev/null 2>&1; then
    main=infisical_patroni
    # If the database does not answer, other checks report that.
    given_up() { (find_database && databases_given_up) 2>/dev/null || true; }
fi

id_of() { docker image inspect --format '{{ .Id }}' "$1" 2>/dev/null || true; }

of_containers() {
    docker ps --all --quiet --filter "label=$project" 2>/dev/null |
        xargs --no-run-if-empty docker inspect --format '{{
        index .Config.Labels "com.docker.compose.service" }} {{ .Config.Image }} {{ .Image }}'
}

of_file() {
    awk '/^  [a-z]+:$/ { service = $1; sub(":", "", service) }
         /^    image: / { print service, $2 }' "$root/compose.yaml" 2>/dev/null
}

# A cluster's services may run on other nodes. `docker service ls` prints images without digests.
of_services() {
    docker service ls --quiet --filter label=com.docker.stack.namespace=infisical |
        xargs --no-run-if-empty docker service inspect --format \
            '{{ .Spec.Name }} {{ .Spec.TaskTemplate.ContainerSpec.Image }}' |
        sed 's/^infisical_//; s/^\([a-z]*\)-[0-9]* /\1 /' | sort -u
}

# Prints "<service> <reference> <id>" of what runs, else of the services in compose.yaml.
images() {
    case $main in
    infisical_patroni) of_services ;;
    *) { of_containers; of_file; } ;;
    esac | awk '!seen[$1]++' | while read -r service reference id; do
        echo "$service $reference ${id:-$(id_of "$reference")}"
    done
}

inspect() {
    command -v docker >/dev/null || return 0
    ! docker volume inspect "$main" >/dev/null 2>&1 || echo database
    images | sed 's/^/image /'
    echo "desired $(id_of "$1")"
    for file in "$releases"/*/failed; do
        test ! -e "$file" || echo "failed $(basename "$(dirname "$file")") $(cat "$file")"
    done
}

free_space() {
    where=$releases
    until [ -d "$where" ]; do where=$(dirname "$where"); done
    data=$(docker volume inspect --format '{{ .Mountpoint }}' "$main")
    for place in "$(docker info --format '{{ .DockerRootDir }}')" "$data" "$where"; do
        echo "$(stat --format %d "$place") $(free_kib "$place")"
    done
    du -sk --exclude=pg_wal "$data" | cut -f 1
}

migrations() {
    find_database
    echo "SELECT count(*) FROM infisical_migrations" | sql
}

make() {
    mkdir -p "$releases/$1"
    for file in compose.yaml workspace.json; do
        test ! -e "$root/$file" || store "$releases/$1/$file" <"$root/$file"
    done
    images | store "$releases/$1/images"
    while read -r service reference id; do
        test -z "$id" || docker tag "$id" "$kept:$1-$service"
    done <"$releases/$1/images"
}

list() {
    for directory in "$releases"/*/; do
        name=$(basename "$directory")
        test -s "$directory/images" || continue
        echo "release $name"
        sed "s/^/image $name /" "$directory/images"
        test ! -s "$directory/snapshot/manifest.json" ||
            echo "manifest $name $(tr '\n' ' ' <"$directory/snapshot/manifest.json")"
    done
}

# A reference with a digest always names the same image, so it needs no new tag.
reset() {
    test -s "$releases/$1/images" || return 0
    while read -r service reference id; do
        if [ -z "$(id_of "$id")" ]; then
            test -n "$(id_of "$reference")" || echo "$reference"
        elif [ "${reference#*@}" = "$reference" ]; then
            docker tag "$id" "$reference"
        fi
    done <"$releases/$1/images"
}

forget() {
    for name; do
        docker image ls --format '{{ .Repository }}:{{ .Tag }}' "$kept" | grep -F ":$name-" |
            xargs --no-run-if-empty docker image rm >/dev/null
        rm -rf "${releases:?}/$name"
    done
}

drop() {
    used=$(images)
    for image; do
        echo "$used" | grep -qF " $image " || docker image rm "$image" >/dev/null 2>&1 || true
    done
}

"$@"
