"""What the kinds of AWS have in common: tags with the mark among them, and what answers are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Value
from reconciler.model.kind import Place, Work
from reconciler.model.request import Answer, Request
from reconciler.model.schema import Rule

MARK = "reconciler:manifest"
"""The tag whose value is `<manifest>/<ledger id>` on everything in AWS that is ours."""


def retagged(work: Work, names: Rule, call: Request, untagging: str) -> list[Request]:
    """What brings the tags of `work.live` to those stated, with the mark, and takes away those stated before.

    `call` tags the object, without its tags; `untagging` is the operation that takes them away. `names` is how keys
    compare.
    """
    assert work.live is not None
    found: list[Request] = []
    tags = map_of(work.fields.get("tags")) if "tags" in work.changed else {}
    if work.live.mark != work.mark or tags:
        added = tags_of({**tags, MARK: work.mark})
        found.append(replace(call, parameters={**call.parameters, "Tags": added}))
    stated = {names.canonical(key) for key in map_of(work.fields.get("tags"))}
    applied = map_of(work.row.applied.get("tags")) if work.row else {}
    dropped = [key for key in applied if names.canonical(key) not in stated]
    if "tags" in work.changed and dropped:
        found.append(replace(call, operation=untagging, parameters={**call.parameters, "TagKeys": dropped}))
    return found


def secret_arn(name: str, place: Place) -> str:
    """The ARN of a secret, as far as it is known before there is one: its name, and six characters of the service's.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/permissions_grant-limited-resources.html
    """
    return f"{unmade_secret_arn(name, place)}-??????"


def unmade_secret_arn(name: str, place: Place) -> str:
    """What a request is about that names a secret which is not there."""
    return f"arn:{place.partition}:secretsmanager:{place.region}:{place.account_id}:secret:{name}"


def tags_of(tags: Mapping[str, Value]) -> list[Value]:
    """Tags as AWS takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def told(tags: Json) -> Mapping[str, str]:
    """Tags as AWS shows them, by key."""
    return {str(tag["Key"]): str(tag["Value"]) for tag in maps(tags)}


def body_of(answer: Answer) -> Mapping[str, Json]:
    """The members of an answer."""
    return answer.body if isinstance(answer.body, Mapping) else {}


def maps(value: Json) -> list[Mapping[str, Json]]:
    """The maps in a list."""
    listed = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return [one for one in listed if isinstance(one, Mapping)]


def map_of(value: Value) -> Mapping[str, Value]:
    """A map, empty where it is none."""
    return value if isinstance(value, Mapping) else {}
