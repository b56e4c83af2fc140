#!/bin/sh
# Moves the example's .env files into the Infisical of INFISICAL_IAC_INVENTORY: migrate.sh <copy>
#
# The script works on a copy of before/. It skips the values that a person has to decide on; in a
# real migration, decide on them in migration.yaml.
set -eu
copy=$1
plan=$copy/migration.yaml

rm -rf "$copy"
cp -r "$(dirname "$0")/before" "$copy"
infisical-iac migrate plan "$copy" --output "$plan" --allow-literal-references >/dev/null ||
    test $? = 2
sed -i 's/decision: undecided/decision: skip/' "$plan"
infisical-iac migrate apply "$plan"
infisical-iac migrate verify "$plan"
