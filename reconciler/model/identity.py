"""Signing as another role: what has to be true before a request can carry an `identity`."""

from reconciler.model.request import Answer, Request, Service
from reconciler.model.steps import NotYet, Steps, call, until

SESSION = "reconciler"
"""The session name of assumed roles, as CloudTrail shows it."""


def assume(role_arn: str, patience: float = 120.0) -> Steps[Answer]:
    """Assume a role, so that requests may be sent as it.

    The transport keeps the credentials and answers without them. A role made a moment ago may not be assumable
    yet, so a refusal is waited out for `patience` seconds.
    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """

    def probe() -> Steps[Answer | NotYet]:
        parameters = {"RoleArn": role_arn, "RoleSessionName": SESSION}
        answer = yield from call(Request(Service.STS, "AssumeRole", parameters, expect=frozenset({"AccessDenied"})))
        return answer if answer.ok else NotYet("AccessDenied on sts:AssumeRole")

    return until(f"IAM role {role_arn.rpartition('/')[2]} assumable", probe, patience=patience, every=0.5)
