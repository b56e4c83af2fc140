"""The harness of the fault tests: a cluster to break, and a client that measures.

`hosts.Cluster` kills, cuts off and queries the hosts of a staging cluster. `client.Client` writes
and reads secrets all the time, and records the attempts in its `ledger.Ledger`. `watch.Watch` asks
each host whether it is a primary. `state` defines the state that must be the same in the end, and
`result.Result.wrong` returns the results that must never happen.
"""
