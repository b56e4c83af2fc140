# Lists and removes the volumes with data that were given up, which data.sh makes from $main.

# Prints "given-up <volume> <since> <writes> <images>" for each, or for those of the change $1.
given_up() {
    docker volume ls --filter "name=^${main}_given_up_${1-}" --format 'given-up {{ .Name }} {{
        .Label "infisical-iac.since" }} {{ .Label "infisical-iac.writes" }} {{
        .Label "infisical-iac.images" }}'
}

# Removes data that were given up before a proven change, unless somebody has written to them: only
# the operator can decide on those. Prints "removed <volume>", or what is kept.
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
