# The secrets that the user gave to Infisical: /etc/infisical/keys/given_<its variable>.

# Prints the variable of a key.
variable_of() { echo "${1#given_}" | tr a-z A-Z; }
