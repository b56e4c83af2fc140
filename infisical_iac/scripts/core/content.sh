# Prints the beginning of a file with every secret of this host masked: content.sh <file>
set -u
root=/etc/infisical
. ./secrecy.sh

secrets() {
    all_keys
    sed -n 's/^[A-Z_]*\(PASSWORD\|SECRET\|KEY\)=//p' \
        "$root"/*.env "$root"/credentials/*.env "$root"/backup/*.env 2>/dev/null | as_in_logs
}

test -f "$1" || exit 0
head -c 65536 "$1" | awk '
    FILENAME == "-" { lines[++count] = $0; next }
    length($0) > 7 { secret[$0] }
    END {
        for (line = 1; line <= count; line++) {
            for (each in secret)
                while (at = index(lines[line], each))
                    lines[line] = substr(lines[line], 1, at - 1) "***" \
                        substr(lines[line], at + length(each))
            print lines[line]
        }
    }' - /dev/fd/3 3<<EOS
$(secrets)
EOS
