"""The command that says what a command has to be allowed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from textwrap import wrap

from reconciler.canonical.json import Json
from reconciler.cli import session as sessions
from reconciler.cli.options import Common, Load
from reconciler.cli.output import Output
from reconciler.errors import Problem, ReconcilerError
from reconciler.permissions import ASSUME, Needed, Needs, Purpose, Wish, needed

_WIDTH = 80
_MAPPED = "Map it to the security role {}, too: no permission is for the Security REST API, or for only reading there."
_OPEN = "A * in an ARN stands for what the target does not state."


@dataclass(frozen=True, slots=True)
class Wanted:
    """The command that permissions are for, as given, and which of its options are."""

    purpose: str
    unmanaged: bool = False
    no_verify: bool = False


def permissions(load: Load, common: Common, wanted: Wanted) -> None:
    """Print what the identities that take part in a command on the manifest need."""
    output = Output(common)
    purpose = _purpose(wanted)
    known = sessions.kinds()
    subject = sessions.subject(load, known)
    wish = Wish(purpose, subject.ledger is None, wanted.unmanaged, not wanted.no_verify)
    found = needed(wish, subject.manifest, subject.desired, known)
    if output.is_json:
        output.data(_data(purpose, found))
        return
    for line in _lines(f"{purpose} on {subject.manifest.name}", found):
        output.line(line)


def _purpose(wanted: Wanted) -> Purpose:
    if wanted.purpose not in list(Purpose):
        what = f"there are no permissions for {wanted.purpose!r}" if wanted.purpose else "permissions are for a command"
        raise ReconcilerError([Problem("usage", what, hint=f"give --for {', '.join(Purpose)}")])
    purpose = Purpose(wanted.purpose)
    for option, given, belongs in (
        ("--unmanaged", wanted.unmanaged, Purpose.DRIFT),
        ("--no-verify", wanted.no_verify, Purpose.APPLY),
    ):
        if given and purpose is not belongs:
            raise ReconcilerError([Problem("usage", f"{purpose} has no {option}", hint=f"it is of {belongs}")])
    return purpose


def _data(purpose: Purpose, found: Needed) -> Mapping[str, Json]:
    return {
        "for": str(purpose),
        **_identity(found.caller),
        "signers": {signer: _identity(needs) for signer, needs in found.signers.items()},
        "assumes_caller": found.first.iam_policy if found.first is not None else None,
        "notes": list(found.notes),
    }


def _identity(needs: Needs) -> Mapping[str, Json]:
    return {
        "iam_policy": needs.iam_policy,
        "opensearch_role": needs.opensearch_role,
        "also_map_to": sorted(needs.also_map_to),
    }


def _lines(what: str, found: Needed) -> Iterator[str]:
    yield from _section(f"{what}: the caller", "", found.caller)
    for signer, needs in found.signers.items():
        about = f"Its trust policy has to let the caller assume it ({ASSUME})."
        yield from ("", *_section(f"{what}: {signer}", about, needs))
    if found.first is not None:
        yield from ("", *_section(f"{what}: whoever assumes the caller's role", "", found.first))
    identities = (found.caller, *found.signers.values())
    if any("*" in one.resource.rpartition(":")[0] for needs in identities for one in needs.permissions):
        yield from ("", _OPEN)
    for note in found.notes:
        yield from ("", *wrap(note, _WIDTH))


def _section(title: str, about: str, needs: Needs) -> Iterator[str]:
    yield from (title, "=" * min(len(title), _WIDTH), *wrap(about, _WIDTH))
    if needs.iam_policy is not None:
        yield from ("", "IAM policy", "", json.dumps(needs.iam_policy, indent=2))
    if needs.opensearch_role is not None:
        yield from ("", "OpenSearch role: PUT _plugins/_security/api/roles/NAME", "")
        yield json.dumps(needs.opensearch_role, indent=2)
    for role in sorted(needs.also_map_to):
        yield from ("", *wrap(_MAPPED.format(role), _WIDTH))
