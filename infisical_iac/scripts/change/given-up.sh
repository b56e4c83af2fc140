# Volumes with data that were given up, of the data that are in the volume $main. data.sh makes them.

# "given-up <volume> <since> <writes> <images>" of each, or of those of the change $1.
given_up() {
    docker volume ls --filter "name=^${main}_given_up_${1-}" --format 'given-up {{ .Name }} {{
        .Label "infisical-iac.since" }} {{ .Label "infisical-iac.writes" }} {{
        .Label "infisical-iac.images" }}'
}

# After a proven change: what was given up before it goes, unless somebody has written to it, which
# only people can decide on. Prints "removed <volume>", or what is kept.
forget_given_up() {
    given_up | while read -r kind name since writes images; do
        if [ "$writes" = 0 ]; then
            docker volume rm "$name" >/dev/null
            echo "removed $name"
        else
            echo "$kind $name $since $writes $images"
        fi
    done
}
