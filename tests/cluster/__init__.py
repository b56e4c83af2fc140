"""The harness of the fault tests: a cluster to break, and a client that measures.

`hosts.Cluster` kills, cuts off and asks the hosts of a staging cluster. `client.Client` writes and
reads secrets all the while; what it saw is in its `ledger.Ledger`. `watch.Watch` asks each host
whether it is a primary, `state` is what must be the same in the end, and `result.Result.wrong`
returns what must never happen and did.
"""
