# Compose, as the scripts call it that bring containers up: which program it is differs.
compose() {
    # Debian 13's docker-compose is what `docker compose` would start, in half the time.
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
