"""What the SDKs themselves take: the processor time of each kind of call, and of starting up.

    python -m bench.sdk start AWS_URL DOMAIN_URL
    python -m bench.sdk calls AWS_URL DOMAIN_URL

The first imports and makes what any caller needs and ends; the second asks services with 1,000 roles and connectors
in them, one call after the other, and prints seconds of processor time as JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

THOUSAND = 1_000
_TIMES = 40


def start(aws: str, domain: str) -> tuple[Any, Any, Any]:
    """The clients of IAM and STS, and a signed connection to the domain."""
    import boto3
    from botocore.config import Config
    from opensearchpy import Urllib3AWSV4SignerAuth, Urllib3HttpConnection

    session: Any = boto3.Session(region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1})
    iam = session.client("iam", endpoint_url=aws, config=config)
    sts = session.client("sts", endpoint_url=aws, config=config)
    signer = Urllib3AWSV4SignerAuth(session.get_credentials(), "us-east-1", "es")
    host, _, port = domain.removeprefix("http://").partition(":")
    connection = Urllib3HttpConnection(host=host, port=int(port), http_auth=signer, timeout=60)
    return iam, sts, connection


def calls(aws: str, domain: str) -> Mapping[str, float]:
    """Seconds of processor time by what was done; what `_1000` stands behind is for a thousand items."""
    iam, sts, connection = start(aws, domain)
    trust = json.dumps({"Version": "2012-10-17", "Statement": [_STATEMENT]})
    roles = iter(range(10 * _TIMES))

    def create() -> None:
        name = f"sdk-{next(roles)}"
        tags = [{"Key": "chain", "Value": name}, {"Key": "team", "Value": "search"}]
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, Description="x", Tags=tags)

    def list_details() -> None:
        iam.get_account_authorization_details(Filter=["Role"], MaxItems=THOUSAND)

    def search(collection: str) -> Callable[[], None]:
        body = json.dumps({"query": {"match_all": {}}, "size": THOUSAND}).encode()
        path = f"/_plugins/_ml/{collection}/_search"
        return lambda: _asked(connection, "GET", path, body)

    group = json.dumps({"name": "x", "description": "x"}).encode()
    found = {
        "list_details_1000": _each(list_details, 3),
        "list_roles_1000": _each(lambda: iam.list_roles(MaxItems=THOUSAND), 3),
        "search_1000": _each(search("connectors"), 3),
        "iam_read": _each(lambda: iam.get_role(RoleName="other-00000")),
        "iam_create": _each(create),
        "iam_put": _each(lambda: iam.put_role_policy(RoleName="other-00000", PolicyName="p", PolicyDocument=trust)),
        "sts": _each(sts.get_caller_identity),
        "domain_read": _each(lambda: _asked(connection, "GET", "/", None)),
        "domain_write": _each(lambda: _asked(connection, "PUT", "/_plugins/_ml/model_groups/x", group)),
    }
    return {name: round(seconds, 6) for name, seconds in found.items()}


_STATEMENT = {"Effect": "Allow", "Principal": {"Service": "es.amazonaws.com"}, "Action": "sts:AssumeRole"}


def _asked(connection: Any, method: str, path: str, body: bytes | None) -> None:
    headers = {"content-type": "application/json"} if body else {}
    _, _, text = connection.perform_request(method, path, body=body, headers=headers, ignore=(400, 404))
    json.loads(text)


def _each(act: Callable[[], object], times: int = _TIMES) -> float:
    act()
    began = time.process_time()
    for _ in range(times):
        act()
    return (time.process_time() - began) / times


def main() -> None:
    """Do what is asked."""
    what, aws, domain = sys.argv[1:]
    if what == "start":
        start(aws, domain)
    else:
        print(json.dumps(calls(aws, domain)))


if __name__ == "__main__":
    main()
