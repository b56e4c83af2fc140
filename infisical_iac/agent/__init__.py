"""The program that runs on the host, with Python's standard library alone.

`core/agent.py` builds it into one file, copies that to the host and calls it through SSH:

    python3 -IS /usr/local/lib/infisical-iac/agent-<protocol>-<hash>.pyz

A call is one JSON object on standard input, and its answer is one on standard output:

    {"protocol": 1, "calls": [{"name": "files.states", "arguments": {"paths": ["/etc/hosts"]}}]}
    {"protocol": 1, "answers": [{"value": {"/etc/hosts": {"kind": "regular file", …}}}]}

A call that fails is answered by its code, message and remedy, and the others are answered
nevertheless. The agent is no daemon: it ends with the call. Secrets are only on standard input and
output, never in arguments or in the environment of a program.

The functions that a call may name are observations: see `runner.observation`. The operator's side
imports them too, for their names, arguments and types.
"""

# Increased when an agent can't answer the calls of other versions any more. `files.install` keeps
# an agent with a larger number, which a newer infisical-iac has installed.
PROTOCOL = 1
