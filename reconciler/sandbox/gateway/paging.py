"""Pages of IAM's lists: `MaxItems` and `Marker` as IAM takes them, on the whole list that moto answers.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html: a page may hold fewer items than asked for
though there are more; only `IsTruncated` says that a list has ended. Here the first of several pages is one short.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from reconciler.sandbox.gateway.http import Answer
from reconciler.sandbox.gateway.operation import Operation, Refusal

DEFAULT_ITEMS = 100
MOST_ITEMS = 1000
WHOLE = {"MaxItems": "1000000"}  # for moto, instead of what the caller asked for

LISTS: Mapping[str, tuple[str, ...]] = {
    "GetAccountAuthorizationDetails": ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"),
    "ListAccessKeys": ("AccessKeyMetadata",),
    "ListAttachedGroupPolicies": ("AttachedPolicies",),
    "ListAttachedRolePolicies": ("AttachedPolicies",),
    "ListAttachedUserPolicies": ("AttachedPolicies",),
    "ListGroups": ("Groups",),
    "ListInstanceProfiles": ("InstanceProfiles",),
    "ListInstanceProfilesForRole": ("InstanceProfiles",),
    "ListPolicies": ("Policies",),
    "ListPolicyVersions": ("Versions",),
    "ListRolePolicies": ("PolicyNames",),
    "ListRoleTags": ("Tags",),
    "ListRoles": ("Roles",),
    "ListUserPolicies": ("PolicyNames",),
    "ListUsers": ("Users",),
}
_LEFT_OUT: Mapping[str, tuple[str, ...]] = {  # of each item, as the API's pages say
    "ListRoles": ("PermissionsBoundary", "RoleLastUsed", "Tags"),
    "ListUsers": ("PermissionsBoundary", "Tags"),
    "ListPolicies": ("Tags",),
}


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for: items from `start` on, at most `items`."""

    start: int
    items: int


def page_of(operation: Operation) -> Page | Refusal | None:
    """The page that a call asks for; None for calls whose answers have no pages."""
    if operation.service != "iam" or operation.name not in LISTS:
        return None
    asked = operation.parameters.get("MaxItems", str(DEFAULT_ITEMS))
    if not asked.isdigit() or not 1 <= int(asked) <= MOST_ITEMS:
        which = (
            f"less than or equal to {MOST_ITEMS}" if asked.isdigit() and int(asked) else "greater than or equal to 1"
        )
        message = (
            f"1 validation error detected: Value '{asked}' at 'maxItems' failed to satisfy constraint: "
            f"Member must have value {which}"
        )
        return Refusal("ValidationError", message, 400)
    marker = operation.parameters.get("Marker")
    start = 0 if marker is None else _start(operation.name, marker)
    return Refusal("ValidationError", "Invalid Marker.", 400) if start is None else Page(start, int(asked))


def cut(answer: Answer, operation: Operation, page: Page) -> Answer:
    """The page out of the answer that holds the whole list."""
    tree = ElementTree.fromstring(answer.body)  # noqa: S314  (moto made it)
    space = tree.tag.partition("}")[0] + "}" if tree.tag.startswith("{") else ""
    result = next((child for child in tree if child.tag.endswith("Result")), None)
    if result is None:
        return answer
    lists = [found for name in LISTS[operation.name] if (found := result.find(f"{space}{name}")) is not None]
    items = [(one, member) for one in lists for member in one]
    count = page.items
    if page.start == 0 and len(items) > page.items > 1:
        count -= 1
    for at, (one, member) in enumerate(items):
        if not page.start <= at < page.start + count:
            one.remove(member)
            continue
        for name in _LEFT_OUT.get(operation.name, ()):
            for left_out in member.findall(f"{space}{name}"):
                member.remove(left_out)
    truncated = len(items) > page.start + count
    for name in ("IsTruncated", "Marker"):
        for old in result.findall(f"{space}{name}"):
            result.remove(old)
    ElementTree.SubElement(result, f"{space}IsTruncated").text = str(truncated).lower()
    if truncated:
        ElementTree.SubElement(result, f"{space}Marker").text = _marker(operation.name, page.start + count)
    if space:
        ElementTree.register_namespace("", space.strip("{}"))
    return Answer(answer.status, answer.headers, ElementTree.tostring(tree, encoding="utf-8"))


def _marker(name: str, start: int) -> str:
    return base64.b64encode(json.dumps([name, start]).encode()).decode()


def _start(name: str, marker: str) -> int | None:
    try:
        made_for, start = json.loads(base64.b64decode(marker, validate=True))
    except (ValueError, TypeError):
        return None
    return start if made_for == name and isinstance(start, int) and start >= 0 else None
