"""The program that runs on the host and needs only Python's standard library.

`core/agent.py` builds it into one file, copies that to the host and calls it through SSH:

    python3 -IS /usr/local/lib/infisical-iac/agent-<protocol>-<hash>.pyz

A call is one JSON object on standard input, and its answer is one on standard output:

    {"protocol": 1, "calls": [{"name": "files.states", "arguments": {"paths": ["/etc/hosts"]}}]}
    {"protocol": 1, "answers": [{"value": {"/etc/hosts": {"kind": "regular file", …}}}]}

A failed call is answered with a code, a message and a remedy, and the other calls with their
values. The agent is no daemon: it ends with the request. Units of systemd call it with the name of
a program (`serving.py`), such as `--monitor` to watch the host. Secrets are passed only on standard
input and output, never in arguments or in the environment of a program.

A call names a function that `runner.observation` marks. In a request with `"changes": true` it
names one that `runner.action` marks. The operator's side imports these functions too, for their
names, arguments and types.
"""

# Increase this when the agent can no longer answer the calls of other versions. `files.install`
# keeps an agent with a larger number, because a newer infisical-iac installed it.
PROTOCOL = 1
