"""Customer managed IAM policies with their tags.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_Operations.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from reconciler.canonical import policy
from reconciler.canonical.json import Json
from reconciler.canonical.policy.document import decode
from reconciler.kinds._aws import MARK, body_of, map_of, retagged, tags_of, told
from reconciler.kinds._iam import GONE, items, pages, text_of
from reconciler.manifest.templates import Value
from reconciler.model.kind import Fault, Grants, Kind, Made, Place, Reading, Work
from reconciler.model.objects import Live, Sought
from reconciler.model.request import Answer, Repeat, Request, Service, ServiceFailure
from reconciler.model.schema import is_known
from reconciler.model.steps import Failed, NotYet, Steps, call, call_all, until

_LANGUAGE = "2012-10-17"
_LONGEST = 6_144
_VERSIONS = 5
"""How many versions of a policy IAM keeps."""

_LISTING = Request(Service.IAM, "ListPolicies", {"Scope": "Local", "MaxItems": 1000})
_TAKEN = frozenset({"EntityAlreadyExists"})


class IamPolicies(Kind):
    """A policy is read in its default version. Each change of the document is a version, and the oldest one goes."""

    service = Service.IAM
    marks = True
    settles = True
    lists = True
    entitles = True
    replaceable = False  # names are unique, and what it is attached to keeps it from being deleted
    answers: ClassVar[Mapping[str, Json]] = {
        "CreatePolicy": {"Policy": {"PolicyId": "(known after apply)", "Arn": "(known after apply)"}},
        "GetPolicy": {"Policy": {"PolicyId": "(known after apply)"}},
        "ListPolicyVersions": {"Versions": []},
        "ListEntitiesForPolicy": {"PolicyRoles": [], "PolicyUsers": [], "PolicyGroups": []},
    }
    to_read = Grants(iam=("iam:ListPolicies", "iam:GetPolicy", "iam:GetPolicyVersion"))
    to_list = Grants(iam=("iam:ListPolicies",))
    to_write = Grants(
        iam=(
            "iam:CreatePolicy", "iam:ListPolicyVersions", "iam:CreatePolicyVersion", "iam:DeletePolicyVersion",
            "iam:TagPolicy", "iam:UntagPolicy", "iam:ListEntitiesForPolicy", "iam:DeletePolicy",
        )
    )  # fmt: skip

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        wanted = {one.name.casefold() for one in sought}
        (listed,) = yield from pages([_LISTING])
        found = [one for one in items(listed, "Policies") if str(one["PolicyName"]).casefold() in wanted]
        answers = yield from call_all(_policy(str(one["Arn"])) for one in found)
        policies = [_shown(answer) for answer in answers if not answer.missing]
        versions = yield from call_all(_version(str(one["Arn"]), str(one["DefaultVersionId"])) for one in policies)
        there = zip(policies, versions, strict=True)
        return Reading(tuple(_live(one, _document(version)) for one, version in there if not version.missing))

    def everything(self, place: Place) -> Steps[Reading]:
        (listed,) = yield from pages([_LISTING])
        return Reading(
            tuple(Live(str(one["PolicyName"]), str(one["PolicyId"]), {}) for one in items(listed, "Policies"))
        )

    def create(self, work: Work) -> Steps[Made]:
        fields = work.fields
        parameters: dict[str, Value] = {
            "PolicyName": work.name,
            "Path": fields.get("path", "/"),
            "PolicyDocument": text_of(fields["policy_document"]),
            "Description": fields.get("description", ""),
            "Tags": tags_of({**map_of(fields.get("tags")), MARK: work.mark}),
        }
        answer = yield from call(Request(Service.IAM, "CreatePolicy", parameters, expect=_TAKEN))
        if not answer.ok:
            return (yield from self._resume(work, answer))
        made = _shown(answer)
        arn, number = str(made["Arn"]), str(made["PolicyId"])
        yield from _visible(work.name, arn)
        return Made(number, {"arn": arn, "id": number})

    def _resume(self, work: Work, taken: Answer) -> Steps[Made]:
        """Go on with a policy that exists: ours, if the answer to an earlier CreatePolicy was lost."""
        found = yield from self.read([Sought(work.name)], work.place)
        mine = next((live for live in found.lives if live.mark == work.mark), None)
        if mine is None:
            raise Failed("name-taken", taken.reason)
        return (yield from self.update(replace(work, live=mine, changed=frozenset(work.fields))))

    def update(self, work: Work) -> Steps[Made]:
        assert work.live is not None
        live, arn = work.live, work.live.attributes["arn"]
        if "policy_document" in work.changed:
            yield from _new_version(work.name, arn, work.fields["policy_document"])
        tagging = Request(Service.IAM, "TagPolicy", {"PolicyArn": arn})
        yield from call_all(retagged(work, self.schema.rule.at(["tags"]).names, tagging, "UntagPolicy"))
        return Made(live.id, live.attributes)

    def delete(self, work: Work) -> Steps[None]:
        assert work.live is not None
        name, which = work.name, {"PolicyArn": work.live.attributes["arn"]}

        def probe() -> Steps[bool | NotYet]:
            (users,) = yield from pages([Request(Service.IAM, "ListEntitiesForPolicy", which, expect=GONE)])
            kinds = ("PolicyRoles", "PolicyUsers", "PolicyGroups")
            using = [str(value) for kind in kinds for one in items(users, kind) for value in _names(one)]
            return NotYet(f"attached to {', '.join(using)}") if using else True

        # What was detached a moment ago may still count.
        yield from until(f"IAM policy {name} attached to nobody", probe, patience=30.0, every=0.5)
        (versions,) = yield from pages([Request(Service.IAM, "ListPolicyVersions", which, expect=GONE)])
        yield from call_all(
            Request(Service.IAM, "DeletePolicyVersion", {**which, "VersionId": str(one["VersionId"])}, expect=GONE)
            for one in items(versions, "Versions")
            if one.get("IsDefaultVersion") is not True
        )
        yield from call(Request(Service.IAM, "DeletePolicy", which, expect=GONE))

    def release(self, work: Work) -> Steps[None]:
        assert work.live is not None
        parameters = {"PolicyArn": work.live.attributes["arn"], "TagKeys": [MARK]}
        yield from call(Request(Service.IAM, "UntagPolicy", parameters, expect=GONE))

    def key(self, name: str) -> str:
        """Names that differ only by case are the same to IAM."""
        return name.casefold()

    def check(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        """The quota of a document, in characters without white space, and the language that IAM wants it in."""
        document = fields.get("policy_document")
        if isinstance(document, Mapping) and document.get("Version") != _LANGUAGE:
            hint = f"state Version: {_LANGUAGE}"
            yield Fault(
                "bad-policy", ("policy_document",), f"IAM takes no managed policy that is not of {_LANGUAGE}", hint
            )
        size = policy.size(document) if document is not None and is_known(document) else 0
        if size > _LONGEST:
            message = f"the document has {size:,} characters"
            yield Fault("iam-limit", ("policy_document",), message, "a managed policy may have 6,144; make two of it")

    def resources(self, action: str, name: str, fields: Mapping[str, Value], place: Place) -> Iterable[str]:
        return ("*",) if action == "iam:ListPolicies" else self.attributes(name, fields, place).values()

    def attributes(self, name: str, fields: Mapping[str, Value], place: Place) -> Mapping[str, str]:
        path = fields.get("path", "/")
        if not place.account_id or not isinstance(path, str):
            return {}
        return {"arn": f"arn:{place.partition}:iam::{place.account_id}:policy{path}{name}"}


def _new_version(name: str, arn: str, document: Value) -> Steps[None]:
    """Make the document the policy's default version. Where there are as many as IAM keeps, the oldest other one goes.

    A version whose answer was lost is looked for before another one is made.
    """
    which = {"PolicyArn": arn}
    create = Request(
        Service.IAM,
        "CreatePolicyVersion",
        {**which, "PolicyDocument": text_of(document), "SetAsDefault": True},
        expect=frozenset({"LimitExceeded"}),
        repeat=Repeat.LOOK_FIRST,
    )
    lost = False

    def probe() -> Steps[bool | NotYet]:
        nonlocal lost
        (listed,) = yield from pages([Request(Service.IAM, "ListPolicyVersions", which)])
        versions = [*items(listed, "Versions")]
        default = next((str(one["VersionId"]) for one in versions if one.get("IsDefaultVersion") is True), "")
        if lost and default:
            shown = yield from call(_version(arn, default))
            if not shown.missing and is_known(document) and policy.same(_document(shown), document):
                return True
        others = sorted((str(one["VersionId"]) for one in versions if str(one["VersionId"]) != default), key=_number)
        if len(versions) >= _VERSIONS:
            oldest = {**which, "VersionId": others[0]}
            yield from call(Request(Service.IAM, "DeletePolicyVersion", oldest, expect=GONE))
        try:
            answer = yield from call(create)
        except ServiceFailure as failure:
            lost = failure.may_have_happened
            if not lost:
                raise
            return NotYet(failure.reason)
        return True if answer.ok else NotYet(answer.reason)

    yield from until(f"IAM policy {name} written", probe, patience=60)


def _number(version: str) -> int:
    digits = version.removeprefix("v")
    return int(digits) if digits.isdigit() else 0


def _names(entity: Mapping[str, Json]) -> Iterable[Json]:
    return (value for key, value in entity.items() if key.endswith("Name"))


def _visible(name: str, arn: str) -> Steps[Answer]:
    def probe() -> Steps[Answer | NotYet]:
        answer = yield from call(_policy(arn))
        return NotYet("not readable yet") if answer.missing else answer

    return until(f"IAM policy {name} readable", probe)


def _policy(arn: str) -> Request:
    return Request(Service.IAM, "GetPolicy", {"PolicyArn": arn}, expect=GONE)


def _version(arn: str, version: str) -> Request:
    return Request(Service.IAM, "GetPolicyVersion", {"PolicyArn": arn, "VersionId": version}, expect=GONE)


def _shown(answer: Answer) -> Mapping[str, Json]:
    found = body_of(answer).get("Policy")
    if not isinstance(found, Mapping):
        raise Failed("bad-answer", "IAM answered without the policy it was asked for")
    return found


def _document(answer: Answer) -> Json:
    """The document of a version. An answer without one is not an empty document."""
    version = body_of(answer).get("PolicyVersion")
    if not isinstance(version, Mapping) or not version.get("Document"):
        raise Failed("bad-answer", "IAM showed a version of a policy without its document")
    return decode(version["Document"])


def _live(found: Mapping[str, Json], document: Json) -> Live:
    stated = told(found.get("Tags"))
    name, arn, number = str(found["PolicyName"]), str(found["Arn"]), str(found["PolicyId"])
    fields: dict[str, Json] = {
        "policy_name": name,
        "path": str(found.get("Path", "/")),
        "policy_document": document,
        "description": found.get("Description", ""),
        "tags": {key: value for key, value in stated.items() if key != MARK},
    }
    return Live(name, number, fields, {"arn": arn, "id": number}, mark=stated.get(MARK, ""))


KIND = IamPolicies
