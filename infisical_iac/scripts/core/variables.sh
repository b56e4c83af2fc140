# Files of NAME=value lines, which are data: they are read, and never run.

# Sets those of the variables that a file has, of which other lines mean nothing: take_variables
# <file> <name>… A value may stand in quotes, and means what it says, whatever signs are in it.
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
