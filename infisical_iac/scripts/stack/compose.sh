# Runs Compose for the scripts that start containers, by whichever program the host has.
compose() {
    # Debian 13's docker-compose is the program that `docker compose` starts, and takes half the
    # time.
    case $(readlink -f "$(command -v docker-compose)") in
    */cli-plugins/docker-compose) docker-compose "$@" ;;
    *)
        if docker compose version >/dev/null 2>&1; then
            docker compose "$@"
        else
            docker-compose "$@"
        fi
        ;;
    esac
}
