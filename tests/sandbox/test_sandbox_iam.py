"""IAM and STS of the sandbox, asked through boto3: AWS's rules in AWS's words, where moto alone has none."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from reconciler.errors import ReconcilerError
from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import ACCOUNT, AUTOMATION_ARN, DOMAIN_ARN
from tests.sandbox.bed import Bed, policy
from tests.sandbox.command import MANIFESTS, run

ROLES = f"arn:aws:iam::{ACCOUNT}:role"
SERVICE = {"Service": "es.amazonaws.com"}


def trusting(*principals: str) -> str:
    return policy({"Effect": "Allow", "Principal": {"AWS": list(principals)}, "Action": "sts:AssumeRole"})


def allowing(action: Any, resource: Any = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[int, str, str]:
    """Status, code and message of the refusal that a call ends in."""
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    answer = raised.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def switch(bed: Bed, **switches: Any) -> None:
    """Turn the sandbox's switches."""
    lifecycle.switch(bed.name, switches)


def trusted(bed: Bed, role: str) -> Any:
    shown = bed.aws("iam").get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    return shown["Statement"][0]["Principal"]["AWS"]


def until(call: Callable[[], Any], seconds: float) -> tuple[Any, float]:
    """The first answer of a call that is refused for a while, and after how many seconds it came."""
    started = time.monotonic()
    while True:
        try:
            return call(), time.monotonic() - started
        except ClientError:
            assert time.monotonic() - started < seconds


@pytest.fixture(scope="module")
def bed(aws_sandbox: Bed) -> Iterator[Bed]:
    """A sandbox for tests that leave nothing that others stumble over: their names differ."""
    lifecycle.reset(aws_sandbox.name)
    yield aws_sandbox
    lifecycle.reset(aws_sandbox.name)


# --- principals


@pytest.mark.parametrize("kind", ["role", "user"])
def test_a_principal_made_again_is_not_the_one_that_was_trusted(aws: Bed, kind: str) -> None:
    iam = aws.aws("iam")

    def make() -> tuple[str, str, Credentials]:
        if kind == "role":
            arn = aws.role("ci", allowing("sts:AssumeRole"))
            return arn, iam.get_role(RoleName="ci")["Role"]["RoleId"], aws.assume(arn)
        user = iam.create_user(UserName="ci")["User"]
        key = iam.create_access_key(UserName="ci")["AccessKey"]
        return user["Arn"], user["UserId"], Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def delete(by: Credentials) -> None:
        if kind == "role":
            iam.delete_role_policy(RoleName="ci", PolicyName="p")
            iam.delete_role(RoleName="ci")
        else:
            iam.delete_access_key(UserName="ci", AccessKeyId=by.access_key)
            iam.delete_user(UserName="ci")

    arn, old_id, session = make()
    target = aws.role("target", trust={"AWS": [AUTOMATION_ARN, arn]})
    asked = {"RoleArn": target, "RoleSessionName": "session"}
    assert aws.aws("sts", session).assume_role(**asked)
    assert trusted(aws, "target") == [AUTOMATION_ARN, arn]

    delete(session)
    assert trusted(aws, "target") == [AUTOMATION_ARN, old_id]
    assert old_id.startswith("AROA" if kind == "role" else "AIDA")
    status, code, _ = refusal(aws.aws("sts", session).get_caller_identity)
    assert (status, code) == (403, "InvalidClientTokenId")

    again, new_id, session = make()
    assert (again, new_id == old_id) == (arn, False)
    status, code, message = refusal(aws.aws("sts", session).assume_role, **asked)
    assert (status, code) == (403, "AccessDenied")
    assert message.endswith(f"is not authorized to perform: sts:AssumeRole on resource: {target}")
    assert trusted(aws, "target") == [AUTOMATION_ARN, old_id]

    dead = refusal(iam.update_assume_role_policy, RoleName="target", PolicyDocument=trusting(old_id))
    assert dead == (400, "MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{old_id}"')
    iam.update_assume_role_policy(RoleName="target", PolicyDocument=trusting(arn))
    assert aws.aws("sts", session).assume_role(**asked)


def test_the_account_and_unique_ids_are_shown_as_arns(bed: Bed) -> None:
    arn = bed.role("known")
    unique_id = bed.aws("iam").get_role(RoleName="known")["Role"]["RoleId"]
    bed.role("shown", trust={"AWS": [ACCOUNT, unique_id]})
    assert trusted(bed, "shown") == [f"arn:aws:iam::{ACCOUNT}:root", arn]


def test_a_trust_that_names_the_account_wants_an_identity_policy_too(bed: Bed) -> None:
    target = bed.role("of-the-account", trust={"AWS": ACCOUNT})
    may = bed.assume(bed.role("may-assume", allowing("sts:AssumeRole", target)))
    may_not = bed.assume(bed.role("may-not-assume", allowing("sts:AssumeRole", f"{ROLES}/other")))
    asked = {"RoleArn": target, "RoleSessionName": "session"}
    assert bed.aws("sts", may).assume_role(**asked)
    assert refusal(bed.aws("sts", may_not).assume_role, **asked)[1] == "AccessDenied"


@pytest.mark.parametrize(
    ("where", "words"), [("trust", "in the role trust policy"), ("identity", "in an identity-based policy")]
)
def test_an_explicit_deny_wins_and_is_named(bed: Bed, where: str, words: str) -> None:
    deny = {"Effect": "Deny", "Action": "sts:AssumeRole"}
    by = bed.role(f"denied-{where}", *([{**deny, "Resource": "*"}] if where == "identity" else []))
    session = bed.assume(by)
    bed.role(f"target-{where}", trust={"AWS": by})
    if where == "trust":
        document = policy(json.loads(trusting(by))["Statement"][0], {**deny, "Principal": {"AWS": by}})
        bed.aws("iam").update_assume_role_policy(RoleName="target-trust", PolicyDocument=document)
    asked = {"RoleArn": f"{ROLES}/target-{where}", "RoleSessionName": "session"}
    status, code, message = refusal(bed.aws("sts", session).assume_role, **asked)
    assert (status, code) == (403, "AccessDenied")
    assert message.endswith(f"with an explicit deny {words}")


# --- limits


def padded(characters: int) -> str:
    """A policy of so many characters that count, and many that do not."""
    document = {"Version": "2012-10-17", "Statement": [{**allowing("s3:*"), "Sid": "x"}]}
    missing = characters - len("".join(json.dumps(document).split()))
    document["Statement"][0]["Sid"] += "x" * missing  # type: ignore[index]
    return json.dumps(document, indent=8)


def test_the_size_of_a_trust_policy(bed: Bed) -> None:
    iam = bed.aws("iam")

    def sized(characters: int) -> str:
        statement = {"Sid": "", "Effect": "Allow", "Principal": SERVICE, "Action": "sts:AssumeRole"}
        statement["Sid"] = "x" * (characters - len("".join(policy(statement).split())))
        return json.dumps(json.loads(policy(statement)), indent=8)

    over = (409, "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048")
    assert refusal(iam.create_role, RoleName="trusting", AssumeRolePolicyDocument=sized(2049)) == over
    iam.create_role(RoleName="trusting", AssumeRolePolicyDocument=sized(2048))
    assert refusal(iam.update_assume_role_policy, RoleName="trusting", PolicyDocument=sized(2049)) == over


def test_the_size_of_inline_policies_together(bed: Bed) -> None:
    iam = bed.aws("iam")
    bed.role("inline")
    iam.put_role_policy(RoleName="inline", PolicyName="a", PolicyDocument=padded(10_000))
    given = {"RoleName": "inline", "PolicyName": "b", "PolicyDocument": padded(241)}
    message = "Maximum policy size of 10240 bytes exceeded for role inline"
    assert refusal(iam.put_role_policy, **given) == (409, "LimitExceeded", message)
    iam.put_role_policy(RoleName="inline", PolicyName="b", PolicyDocument=padded(240))
    iam.put_role_policy(RoleName="inline", PolicyName="a", PolicyDocument=padded(10_000))
    assert refusal(iam.put_role_policy, **{**given, "PolicyDocument": padded(241)})[1] == "LimitExceeded"


def test_the_size_of_a_managed_policy(bed: Bed) -> None:
    iam = bed.aws("iam")
    answer = refusal(iam.create_policy, PolicyName="large", PolicyDocument=padded(6145))
    assert answer == (409, "LimitExceeded", "Cannot exceed quota for PolicySize: 6144")
    assert iam.create_policy(PolicyName="large", PolicyDocument=padded(6144))


def test_ten_policies_can_be_attached(bed: Bed) -> None:
    iam = bed.aws("iam")
    bed.role("attached")
    arns = [
        iam.create_policy(PolicyName=f"attached-{n}", PolicyDocument=policy(allowing("s3:*")))["Policy"]["Arn"]
        for n in range(11)
    ]
    for arn in arns[:10]:
        iam.attach_role_policy(RoleName="attached", PolicyArn=arn)
    iam.attach_role_policy(RoleName="attached", PolicyArn=arns[0])
    answer = refusal(iam.attach_role_policy, RoleName="attached", PolicyArn=arns[10])
    assert answer == (409, "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10")


def test_fifty_tags_whose_keys_have_no_case(bed: Bed) -> None:
    iam = bed.aws("iam")
    bed.role("tagged")

    def tags() -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in iam.list_role_tags(RoleName="tagged")["Tags"]}

    iam.tag_role(RoleName="tagged", Tags=[{"Key": "Department", "Value": "a"}])
    iam.tag_role(RoleName="tagged", Tags=[{"Key": "department", "Value": "b"}])
    assert tags() == {"department": "b"}
    twice = [{"Key": "k", "Value": ""}, {"Key": "K", "Value": ""}]
    assert refusal(iam.tag_role, RoleName="tagged", Tags=twice)[1] == "InvalidInput"
    iam.tag_role(RoleName="tagged", Tags=[{"Key": f"k{n}", "Value": ""} for n in range(49)])
    answer = refusal(iam.tag_role, RoleName="tagged", Tags=[{"Key": "one-more", "Value": ""}])
    assert answer == (409, "LimitExceeded", "The number of tags has reached the maximum limit.")
    iam.tag_role(RoleName="tagged", Tags=[{"Key": "K7", "Value": "again"}])
    assert {key: value for key, value in tags().items() if key.lower() == "k7"} == {"K7": "again"}
    iam.untag_role(RoleName="tagged", TagKeys=["DEPARTMENT"])
    assert "department" not in tags()
    reserved = refusal(iam.tag_role, RoleName="tagged", Tags=[{"Key": "AWS:x", "Value": ""}])
    assert reserved[:2] == (400, "InvalidInput")


BAD_VALUES: dict[str, tuple[dict[str, Any], str, str]] = {
    "long name": ({"RoleName": "x" * 65}, "'roleName'", "less than or equal to 64"),
    "name": ({"RoleName": "a b"}, "specified value for roleName", "+=,.@_-"),
    "path": ({"Path": "team"}, "specified value for path", "begin and end with /"),
    "long path": ({"Path": f"/{'x' * 511}/"}, "'path'", "less than or equal to 512"),
    "long description": ({"Description": "x" * 1001}, "'description'", "less than or equal to 1000"),
    "long session": ({"MaxSessionDuration": 43201}, "'maxSessionDuration'", "less than or equal to 43200"),
    "too many tags": (
        {"Tags": [{"Key": f"k{n}", "Value": ""} for n in range(51)]},
        "'tags'",
        "less than or equal to 50",
    ),
    "characters": (
        {"AssumeRolePolicyDocument": '{"Statement": "\u2713"}'},
        "'assumeRolePolicyDocument'",
        "regular expression pattern",
    ),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_values_that_a_role_can_not_have(bed: Bed, case: str) -> None:
    changes, where, why = BAD_VALUES[case]
    given = {"RoleName": "never-made", "AssumeRolePolicyDocument": trusting(ACCOUNT), **changes}
    status, code, message = refusal(bed.aws("iam").create_role, **given)
    assert (status, code) == (400, "ValidationError")
    assert where in message
    assert why in message
    assert refusal(bed.aws("iam").get_role, RoleName="never-made")[1] == "NoSuchEntity"


@pytest.mark.parametrize("document", ["{", "[]", '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]}'])
def test_documents_that_are_no_trust_policy(bed: Bed, document: str) -> None:
    given = {"RoleName": "never-made", "AssumeRolePolicyDocument": document}
    assert refusal(bed.aws("iam").create_role, **given)[0] == 400


# --- names and what is there


def test_names_are_unique_whatever_their_case_and_path(bed: Bed) -> None:
    iam = bed.aws("iam")
    bed.role("Unique", path="/a/")
    for name, path in (("unique", "/a/"), ("UNIQUE", "/b/"), ("Unique", "/b/")):
        answer = refusal(iam.create_role, RoleName=name, Path=path, AssumeRolePolicyDocument=trusting(ACCOUNT))
        assert answer == (409, "EntityAlreadyExists", f"Role with name {name} already exists.")
    iam.create_policy(PolicyName="Unique", PolicyDocument=policy(allowing("s3:*")))
    assert refusal(iam.create_policy, PolicyName="UNIQUE", PolicyDocument=policy(allowing("s3:*")))[:2] == (
        409,
        "EntityAlreadyExists",
    )
    iam.create_user(UserName="Unique")
    assert refusal(iam.create_user, UserName="uniquE")[1] == "EntityAlreadyExists"


def test_what_does_not_exist(bed: Bed) -> None:
    iam = bed.aws("iam")
    bed.role("there")
    absent = f"arn:aws:iam::{ACCOUNT}:policy/absent"
    role, inline = {"RoleName": "absent"}, {"RoleName": "there", "PolicyName": "absent"}
    expected = {
        "The role with name absent cannot be found.": [
            (iam.get_role, role),
            (iam.delete_role, role),
            (iam.list_role_policies, role),
            (iam.list_attached_role_policies, role),
            (iam.put_role_policy, {**role, "PolicyName": "p", "PolicyDocument": policy(allowing("s3:*"))}),
            (iam.update_assume_role_policy, {**role, "PolicyDocument": trusting(ACCOUNT)}),
        ],
        "The role policy with name absent cannot be found.": [
            (iam.get_role_policy, inline),
            (iam.delete_role_policy, inline),
        ],
        f"Policy {absent} does not exist or is not attachable.": [
            (iam.attach_role_policy, {"RoleName": "there", "PolicyArn": absent})
        ],
        f"Policy {absent} was not found.": [(iam.detach_role_policy, {"RoleName": "there", "PolicyArn": absent})],
        f"Scope ARN: {absent} does not exist or is not attachable.": [
            (iam.put_role_permissions_boundary, {"RoleName": "there", "PermissionsBoundary": absent})
        ],
    }
    for message, calls in expected.items():
        for call, parameters in calls:
            assert refusal(call, **parameters) == (404, "NoSuchEntity", message)


def test_the_order_of_deleting(bed: Bed) -> None:
    iam = bed.aws("iam")
    bed.role("doomed", allowing("s3:*"))
    arn = iam.create_policy(PolicyName="doomed", PolicyDocument=policy(allowing("s3:*")))["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy(allowing("s3:Get*")), SetAsDefault=True)
    iam.attach_role_policy(RoleName="doomed", PolicyArn=arn)
    iam.create_instance_profile(InstanceProfileName="doomed")
    iam.add_role_to_instance_profile(InstanceProfileName="doomed", RoleName="doomed")

    def conflict(call: Callable[..., Any], **parameters: str) -> str:
        status, code, message = refusal(call, **parameters)
        assert (status, code) == (409, "DeleteConflict")
        return message

    assert "must remove roles from instance profile first" in conflict(iam.delete_role, RoleName="doomed")
    iam.remove_role_from_instance_profile(InstanceProfileName="doomed", RoleName="doomed")
    assert conflict(iam.delete_policy, PolicyArn=arn) == "Cannot delete a policy attached to entities."
    assert "must detach all policies first" in conflict(iam.delete_role, RoleName="doomed")
    iam.detach_role_policy(RoleName="doomed", PolicyArn=arn)
    assert "more than one version" in conflict(iam.delete_policy, PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)
    assert "must delete policies first" in conflict(iam.delete_role, RoleName="doomed")
    iam.delete_role_policy(RoleName="doomed", PolicyName="p")
    iam.delete_role(RoleName="doomed")
    assert refusal(iam.get_role, RoleName="doomed")[1] == "NoSuchEntity"


def test_service_linked_roles_are_the_services(bed: Bed) -> None:
    iam = bed.aws("iam")
    role = iam.create_service_linked_role(AWSServiceName="opensearchservice.amazonaws.com")["Role"]
    name = "AWSServiceRoleForAmazonOpenSearchService"
    assert (role["RoleName"], role["Arn"]) == (name, f"{ROLES}/aws-service-role/opensearchservice.amazonaws.com/{name}")
    status, code, message = refusal(iam.create_service_linked_role, AWSServiceName="opensearchservice.amazonaws.com")
    assert (status, code) == (400, "InvalidInput")
    assert f"{name} has been taken in this account" in message
    changes: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (iam.delete_role, {}),
        (iam.put_role_policy, {"PolicyName": "p", "PolicyDocument": policy(allowing("s3:*"))}),
        (iam.update_assume_role_policy, {"PolicyDocument": trusting(ACCOUNT)}),
        (iam.tag_role, {"Tags": [{"Key": "k", "Value": "v"}]}),
    ]
    for call, parameters in changes:
        status, code, message = refusal(call, RoleName=name, **parameters)
        assert (status, code) == (400, "UnmodifiableEntity")
        assert f"protected role '{name}' - this role is only modifiable by AWS" in message
    assert iam.delete_service_linked_role(RoleName=name)["DeletionTaskId"]
    assert refusal(iam.get_role, RoleName=name)[1] == "NoSuchEntity"


def test_updating_a_role_sets_what_is_not_given_to_the_default(bed: Bed) -> None:
    iam = bed.aws("iam")
    bed.role("updated")
    iam.update_role(RoleName="updated", Description="d", MaxSessionDuration=7200)
    assert iam.get_role(RoleName="updated")["Role"]["MaxSessionDuration"] == 7200
    iam.update_role(RoleName="updated", Description="e")
    assert iam.get_role(RoleName="updated")["Role"]["MaxSessionDuration"] == 3600


# --- sessions


def test_how_long_a_session_may_last(bed: Bed) -> None:
    sts = bed.aws("sts")
    role = bed.role("short")
    asked = {"RoleArn": role, "RoleSessionName": "session"}
    code = "ValidationError"
    message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    assert refusal(sts.assume_role, **asked, DurationSeconds=7200) == (400, code, message)
    bed.aws("iam").update_role(RoleName="short", MaxSessionDuration=7200)
    session = sts.assume_role(**asked, DurationSeconds=7200)["Credentials"]
    chained = Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    target = bed.role("chained", trust={"AWS": role})
    bed.aws("iam").update_role(RoleName="chained", MaxSessionDuration=7200)
    asked = {"RoleArn": target, "RoleSessionName": "session"}
    assert "role chaining" in refusal(bed.aws("sts", chained).assume_role, **asked, DurationSeconds=3601)[2]
    assert bed.aws("sts", chained).assume_role(**asked, DurationSeconds=3600)


@pytest.mark.parametrize(("name", "why"), [("a b", "pattern"), ("x" * 65, "less than or equal to 64")])
def test_the_name_of_a_session(bed: Bed, name: str, why: str) -> None:
    status, code, message = refusal(bed.aws("sts").assume_role, RoleArn=f"{ROLES}/any", RoleSessionName=name)
    assert (status, code) == (400, "ValidationError")
    assert "'roleSessionName'" in message
    assert why in message


# --- pages


def test_pages(aws: Bed) -> None:
    iam = aws.aws("iam")
    names = [f"r{n:02}" for n in range(23)]
    for name in names:
        aws.role(name)
    first = iam.list_roles(MaxItems=10)
    assert first["IsTruncated"] is True
    assert len(first["Roles"]) == 9  # fewer than asked for, though there are more
    assert not any({"Tags", "PermissionsBoundary", "RoleLastUsed"} & set(role) for role in first["Roles"])
    second = iam.list_roles(MaxItems=10, Marker=first["Marker"])
    assert (second["IsTruncated"], len(second["Roles"])) == (True, 10)
    last = iam.list_roles(MaxItems=10, Marker=second["Marker"])
    assert (last["IsTruncated"], len(last["Roles"]), last.get("Marker")) == (False, 4, None)
    seen = [role["RoleName"] for page in (first, second, last) for role in page["Roles"]]
    assert sorted(seen) == names

    pages = iam.get_paginator("get_account_authorization_details").paginate(
        Filter=["Role", "User"], PaginationConfig={"PageSize": 5}
    )
    details = list(pages)
    assert len(details) >= 5
    assert sorted(role["RoleName"] for page in details for role in page["RoleDetailList"]) == names
    assert [user["UserName"] for page in details for user in page["UserDetailList"]] == ["automation"]

    for number in range(7):
        iam.put_role_policy(RoleName="r00", PolicyName=f"p{number}", PolicyDocument=policy(allowing("s3:*")))
    inline = iam.get_paginator("list_role_policies").paginate(RoleName="r00", PaginationConfig={"PageSize": 3})
    assert [name for page in inline for name in page["PolicyNames"]] == [f"p{number}" for number in range(7)]
    for name in ("ReadOnlyAccess", "IAMReadOnlyAccess", "job-function/ViewOnlyAccess"):
        iam.attach_role_policy(RoleName="r00", PolicyArn=f"arn:aws:iam::aws:policy/{name}")
    attached = iam.get_paginator("list_attached_role_policies").paginate(
        RoleName="r00", PaginationConfig={"PageSize": 2}
    )
    assert len({one["PolicyName"] for page in attached for one in page["AttachedPolicies"]}) == 3

    assert refusal(iam.list_roles, Marker="nonsense") == (400, "ValidationError", "Invalid Marker.")
    assert refusal(iam.list_users, Marker=first["Marker"])[1] == "ValidationError"
    assert "'maxItems'" in refusal(iam.list_roles, MaxItems=1001)[2]


# --- slowness and throttling


def test_what_is_new_counts_after_a_while(aws: Bed) -> None:
    switch(aws, propagation_delay_s=1.0, stale_reads_s=0)
    iam, sts = aws.aws("iam"), aws.aws("sts")
    role = aws.role("new", allowing("es:ESHttpGet", f"{DOMAIN_ARN}/*"))
    asked = {"RoleArn": role, "RoleSessionName": "session"}
    assert iam.get_role(RoleName="new")["Role"]["Arn"] == role
    assert refusal(sts.assume_role, **asked)[1] == "AccessDenied"
    trust = {"RoleName": "other", "AssumeRolePolicyDocument": trusting(role)}
    assert refusal(iam.create_role, **trust) == (
        400,
        "MalformedPolicyDocument",
        f'Invalid principal in policy: "AWS":"{role}"',
    )
    got, seconds = until(lambda: sts.assume_role(**asked)["Credentials"], 5)
    assert seconds > 0.3
    assert iam.create_role(**trust)
    session = Credentials(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
    started = time.monotonic()
    while aws.ask("GET", "/_plugins/_security/authinfo", by=session).status_code == 403:
        assert time.monotonic() - started < 5
    iam.delete_role_policy(RoleName="new", PolicyName="p")
    assert aws.ask("GET", "/_plugins/_security/authinfo", by=session).status_code == 200
    while aws.ask("GET", "/_plugins/_security/authinfo", by=session).status_code == 200:
        assert time.monotonic() - started < 10


def test_reads_are_stale_for_a_while(aws: Bed) -> None:
    switch(aws, propagation_delay_s=1.0)
    iam = aws.aws("iam")
    aws.role("new")
    assert refusal(iam.get_role, RoleName="new")[1] == "NoSuchEntity"
    assert [role["RoleName"] for role in iam.list_roles()["Roles"]] == []
    assert refusal(iam.create_role, RoleName="NEW", AssumeRolePolicyDocument=trusting(ACCOUNT))[1] == (
        "EntityAlreadyExists"
    )
    until(lambda: iam.get_role(RoleName="new"), 5)
    iam.tag_role(RoleName="new", Tags=[{"Key": "k", "Value": "v"}])
    assert iam.list_role_tags(RoleName="new")["Tags"] == []
    iam.delete_role(RoleName="new")
    assert iam.get_role(RoleName="new")
    lifecycle.reset(aws.name)
    aws.role("new")
    assert iam.get_role(RoleName="new")


def test_throttling(aws: Bed) -> None:
    switch(aws, throttle=0.3)
    iam = aws.aws("iam")

    def said() -> str:
        try:
            iam.list_roles()
        except ClientError as error:
            return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
        return ""

    answers = [said() for _ in range(100)]
    assert set(answers) == {"", "Throttling: Rate exceeded"}
    throttled = len(list(filter(None, answers)))
    assert 15 <= throttled <= 45
    switch(aws, throttle=1)
    assert refusal(aws.aws("sts").get_caller_identity)[1] == "Throttling"
    assert refusal(aws.aws("secretsmanager").list_secrets)[1] == "ThrottlingException"
    switch(aws, throttle=0)
    assert iam.list_roles()


def test_the_main_job_gets_through_a_slow_and_throttling_iam(aws: Bed) -> None:
    switch(aws, propagation_delay_s=3, stale_reads_s=1, throttle=0.1)
    for command, said in (("apply", "2 of 2 queries passed"), ("destroy", "8 deleted")):
        done = run(aws, command, MANIFESTS / "deepseek-bedrock.yaml", "--yes")
        assert done.code == 0, done.all
        assert said in done.out


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        ({"nonsense": 1}, "no such switch: nonsense"),
        ({"throttle": 2}, "throttle is a share from 0 to 1"),
        ({"propagation_delay_s": "long"}, "propagation_delay_s is a number"),
        ({"access_policy": {"a": 1}}, "access_policy is a policy document"),
    ],
)
def test_switches_that_are_none(aws_sandbox: Bed, switches: dict[str, Any], said: str) -> None:
    with pytest.raises(ReconcilerError, match=said):
        switch(aws_sandbox, **switches)
