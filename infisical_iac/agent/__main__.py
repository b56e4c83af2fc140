"""Start the agent; an old Python must be able to parse this file, to say that it is too old."""

import json
import sys

if sys.version_info < (3, 11):  # noqa: UP036
    REFUSED = {
        "code": "refused.python",
        "message": "the host's Python is {}.{}, and 3.11 is needed".format(*sys.version_info[:2]),
        "remedy": "use one of the supported systems, which have it",
    }
    print(json.dumps({"protocol": 1, "error": REFUSED}))
    sys.exit(0)

from infisical_iac.agent.serving import main

if __name__ == "__main__":
    main()
