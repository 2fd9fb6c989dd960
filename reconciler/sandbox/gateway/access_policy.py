"""The domain's access policy together with its callers' identity policies: what Amazon OpenSearch Service asks first.

https://docs.aws.amazon.com/opensearch-service/latest/developerguide/ac.html and IAM's evaluation logic: a Deny on
either side wins; within the account one side that names the caller is enough, and a policy that names the account
leaves it to identity policies; a caller of another account needs both.
"""

from reconciler.sandbox.gateway.account import Account, Caller
from reconciler.sandbox.gateway.iam_rules import decide, refusal_words
from reconciler.sandbox.gateway.policies import Question, Verdict, judge_resource
from reconciler.sandbox.settings import ACCOUNT, PARTITION


def refused(account: Account, caller: Caller | None, question: Question) -> str | None:
    """The domain layer's words for what `caller` (None: nobody who signed) may not do; None when he may."""
    policy = account.switches.access_policy
    if caller is None:
        verdict = Verdict.ALLOWED if policy is None else judge_resource(policy, question, names=("*",))
        return None if verdict is Verdict.ALLOWED else anonymous(question.action, verdict)
    own = decide(account, caller, question)
    said = Verdict.SILENT
    if policy is not None:
        said = judge_resource(policy, question, names=_names(caller))
        if said is Verdict.DENIED or judge_resource(policy, question, names=_root(caller)) is Verdict.DENIED:
            return _words(caller, question.action, "with an explicit deny in a resource-based policy")
    if caller.account != ACCOUNT and said is not Verdict.ALLOWED and own is Verdict.ALLOWED:
        return _words(caller, question.action, _silent(question.action))
    if said is Verdict.ALLOWED and own is Verdict.SILENT and caller.account == ACCOUNT:
        return None
    return refusal_words(caller, question, own, names_resource=False)


def anonymous(action: str, verdict: Verdict = Verdict.SILENT) -> str:
    """The words for a request that nobody has signed."""
    denied = verdict is Verdict.DENIED
    why = "with an explicit deny in a resource-based policy" if denied else _silent(action)
    return f"User: anonymous is not authorized to perform: {action} {why}"


def _silent(action: str) -> str:
    return f"because no resource-based policy allows the {action} action"


def _words(caller: Caller, action: str, why: str) -> str:
    return f"User: {caller.arn} is not authorized to perform: {action} {why}"


def _names(caller: Caller) -> tuple[str, ...]:
    return caller.arn, caller.principal, "*"


def _root(caller: Caller) -> tuple[str, ...]:
    return caller.account, f"arn:{PARTITION}:iam::{caller.account}:root"
