"""Secrets of AWS Secrets Manager, with their tags. Their values are sent and never read.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Operations.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from reconciler.canonical.json import Json
from reconciler.kinds._aws import MARK, body_of, map_of, maps, retagged, secret_arn, tags_of, told, unmade_secret_arn
from reconciler.manifest.templates import Value
from reconciler.model.kind import Grants, Kind, Made, Place, Reading, Work
from reconciler.model.objects import Live, Sought
from reconciler.model.request import Answer, Request, Service, ServiceFailure
from reconciler.model.steps import Failed, NotYet, Steps, call, call_all, until

_GONE = frozenset({"ResourceNotFoundException"})
_TAKEN = frozenset({"ResourceExistsException", "InvalidRequestException"})
_BY_NAME = frozenset({"secretsmanager:DescribeSecret", "secretsmanager:CreateSecret"})
_DELETED = "DeletedDate"
_OWN_KEY = "alias/aws/secretsmanager"
_SENT: Mapping[str, str] = {"description": "Description", "kms_key_id": "KmsKeyId", "secret_string": "SecretString"}
"""The service's names of what one call sets."""


class SecretsmanagerSecrets(Kind):
    """A secret is described by its name: a listing may be minutes behind. One that was deleted keeps its name a while.

    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
    """

    service = Service.SECRETS
    marks = True
    lists = True
    answers: ClassVar[Mapping[str, Json]] = {"CreateSecret": {"ARN": "(known after apply)"}}
    to_read = Grants(iam=("secretsmanager:DescribeSecret",))
    to_list = Grants(iam=("secretsmanager:ListSecrets",))
    to_write = Grants(
        iam=(
            "secretsmanager:CreateSecret", "secretsmanager:UpdateSecret", "secretsmanager:TagResource",
            "secretsmanager:UntagResource", "secretsmanager:DeleteSecret", "secretsmanager:RestoreSecret",
        )
    )  # fmt: skip

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        answers = yield from call_all(_about(name) for name in dict.fromkeys(one.name for one in sought))
        lives = (_live(body_of(one)) for one in answers if not one.missing)
        return Reading(tuple(live for live in lives if _DELETED not in live.detail))

    def everything(self, place: Place) -> Steps[Reading]:
        lives: list[Live] = []
        request = Request(Service.SECRETS, "ListSecrets", {"MaxResults": 100})
        while True:
            body = body_of((yield from call(request)))
            if not isinstance(body.get("SecretList"), Sequence):
                raise Failed("bad-answer", "Secrets Manager answered a listing without SecretList")
            lives += [_live(one) for one in maps(body["SecretList"])]
            if not body.get("NextToken"):
                return Reading(tuple(lives))
            request = replace(request, parameters={**request.parameters, "NextToken": str(body["NextToken"])})

    def create(self, work: Work) -> Steps[Made]:
        parameters: dict[str, Value] = {
            "Name": work.name,
            **{_SENT[name]: value for name, value in work.fields.items() if name in _SENT and value is not None},
            "Tags": tags_of({**map_of(work.fields.get("tags")), MARK: work.mark}),
        }
        request = Request(Service.SECRETS, "CreateSecret", parameters, expect=_TAKEN)

        def probe() -> Steps[tuple[Answer, Live | None] | NotYet]:
            answer = yield from call(request)
            if answer.ok:
                return answer, None
            there = yield from call(_about(work.name))
            if not there.missing:
                return answer, _live(body_of(there))
            if "deletion" not in answer.reason:
                raise ServiceFailure(request, answer, answer.reason)
            # It was deleted without a window a moment ago.
            return NotYet(answer.reason)

        answer, there = yield from until(f"secret {work.name} made", probe, patience=60, every=0.5)
        if there is not None:
            return (yield from self._resume(work, there))
        arn = str(body_of(answer)["ARN"])
        return Made(arn, {"arn": arn})

    def _resume(self, work: Work, there: Live) -> Steps[Made]:
        """Go on with a secret that exists: ours, if the answer to an earlier call was lost, or it was deleted since."""
        deleted = there.detail.get(_DELETED)
        if there.mark != work.mark:
            until_then = f", to be deleted on {str(deleted)[:10]}, and not ours to have back" if deleted else ""
            raise Failed("name-taken", f"a secret called {work.name!r} is there already{until_then}")
        if deleted:
            yield from call(Request(Service.SECRETS, "RestoreSecret", _which(there)))
        stated = {name: self._wanted(work, name) for name in ("description", "kms_key_id")}
        changed = {name for name, value in stated.items() if there.fields[name] != value}
        return (
            yield from self.update(replace(work, live=there, changed=frozenset(changed | {"secret_string", "tags"})))
        )

    def update(self, work: Work) -> Steps[Made]:
        assert work.live is not None
        which = _which(work.live)
        values = {_SENT[name]: self._wanted(work, name) for name in _SENT if name in work.changed}
        known = {name: value for name, value in values.items() if value is not None}
        requests = [Request(Service.SECRETS, "UpdateSecret", {**which, **known})] if known else []
        tagging = Request(Service.SECRETS, "TagResource", which)
        requests += retagged(work, self.schema.rule.at(["tags"]).names, tagging, "UntagResource")
        yield from call_all(requests)
        return Made(work.live.id, work.live.attributes)

    def delete(self, work: Work) -> Steps[None]:
        assert work.live is not None
        name = "recovery_window_in_days"
        days = (work.row.applied if work.row else {}).get(name, self.schema.rule.at([name]).default)
        how: Mapping[str, Value] = {"RecoveryWindowInDays": days} if days else {"ForceDeleteWithoutRecovery": True}
        yield from call(Request(Service.SECRETS, "DeleteSecret", {**_which(work.live), **how}, expect=_GONE))

    def release(self, work: Work) -> Steps[None]:
        assert work.live is not None
        parameters = {**_which(work.live), "TagKeys": [MARK]}
        yield from call(Request(Service.SECRETS, "UntagResource", parameters, expect=_GONE))

    def resources(self, action: str, name: str, fields: Mapping[str, Value], place: Place) -> Iterable[str]:
        """The secret; all secrets for listing them; and for what may come before the secret its mere name."""
        if action == "secretsmanager:ListSecrets":
            return ("*",)
        made = secret_arn(name, place)
        return (unmade_secret_arn(name, place), made) if action in _BY_NAME else (made,)

    def _wanted(self, work: Work, name: str) -> Value:
        return work.fields.get(name, self.schema.rule.at([name]).default)


def _about(name: str) -> Request:
    return Request(Service.SECRETS, "DescribeSecret", {"SecretId": name}, expect=_GONE)


def _which(live: Live) -> Mapping[str, Value]:
    return {"SecretId": live.id}


def _live(found: Mapping[str, Json]) -> Live:
    stated = told(found.get("Tags"))
    arn, deleted, owner = str(found["ARN"]), found.get(_DELETED), found.get("OwningService")
    key = str(found.get("KmsKeyId") or _OWN_KEY)
    fields: dict[str, Json] = {
        "name": str(found["Name"]),
        "description": found.get("Description") or "",
        # The service's own key is left out, or shown by its ARN.
        "kms_key_id": _OWN_KEY if key.endswith(f":{_OWN_KEY}") else key,
        "tags": {key: value for key, value in stated.items() if key != MARK},
    }
    return Live(
        name=str(found["Name"]),
        id=arn,
        fields=fields,
        attributes={"arn": arn},
        mark=stated.get(MARK, ""),
        guarded=f"a secret of the service {owner}" if owner else "",
        detail={_DELETED: deleted} if deleted else {},
    )


KIND = SecretsmanagerSecrets
