# Reads files of NAME=value lines as data: they are never run.

# Sets the named variables from a file: take_variables <file> <name>… Other lines are ignored. A
# value may be in quotes, and is taken literally.
take_variables() {
    file=$1
    shift
    while IFS= read -r line || test -n "$line"; do
        line=${line#export }
        name=${line%%=*} value=${line#*=}
        case $name in
        "" | *[!A-Z_]*) continue ;;
        esac
        case " $* " in
        *" $name "*) ;;
        *) continue ;;
        esac
        case $value in
        \'*\') value=${value#\'} value=${value%\'} ;;
        \"*\") value=${value#\"} value=${value%\"} ;;
        esac
        IFS= read -r "$name" <<VALUE || return
$value
VALUE
    done <"$file"
}
