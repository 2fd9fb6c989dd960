#!/usr/bin/env python3
"""Makes the pages of docs/ that say what the code says already: kinds, error codes, commands, permissions.

Run it as `.venv/bin/python scripts/generate_docs.py` after a change of a schema, a kind's grants, a code or an option.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import report  # noqa: E402
from reconciler.canonical.json import Json  # noqa: E402
from reconciler.errors import CODES  # noqa: E402
from reconciler.kinds import load_kinds  # noqa: E402
from reconciler.ledger import INDEX  # noqa: E402
from reconciler.manifest.schema import load_schemas  # noqa: E402
from reconciler.model.kind import Grants, Kind, Place  # noqa: E402
from reconciler.model.schema import Rule, Schema  # noqa: E402
from reconciler.permissions import ASSUME, CLUSTER, PREDICT, READ_LEDGER, READ_SECRET, SEARCH, WRITE_LEDGER  # noqa: E402
from reconciler.verify.guard import NEEDED, PREFIX  # noqa: E402

GROUPS: Mapping[str, str] = {
    "manifest": "The manifest",
    "plan": "Planning",
    "service": "The services",
    "ledger": "Ledger and secrets",
    "drift": "Drift",
    "export": "Export",
    "verify": "Test queries",
    "command": "The command line",
    "sandbox": "The sandbox",
}
"""The headings of the groups of error codes, in the order of the page."""

EXITS: Mapping[str, Mapping[int, str]] = {
    "plan": {0: "the plan was made", 1: "error", 2: "with `--detailed-exitcode`: there are changes"},
    "apply": {
        0: "everything is as planned, and the test queries passed",
        1: "error, or something failed or was not started",
    },
    "destroy": {0: "everything that is the manifest's is gone", 1: "error, or something failed or was not started"},
    "drift": {
        0: "in sync, or only changes that are not applied yet",
        1: "error",
        2: "drift",
        3: "with `--fail-on-pending`: no drift, but changes that are not applied yet",
        4: "no drift was found, but not everything could be read",
    },
    "verify": {0: "all queries passed", 1: "error, a query failed, or a temporary index could not be removed"},
    "policy diff": {0: "both mean the same", 1: "error", 2: "they differ"},
    "sandbox status": {0: "it runs", 1: "error, or it does not run"},
}
"""What exit codes mean where it is more than done (0) and error (1)."""

SAVED_PLAN = "schemas/formats/saved-plan.schema.json"
"""The published form of saved plans."""

_ONLY: Mapping[str, str] = {
    "managed": "On Amazon OpenSearch Service only.",
    "self-managed": "Not on Amazon OpenSearch Service.",
    "start": "Refused: nodes take it from `opensearch.yml`.",
}
"""What is said of fields that can not be set everywhere."""

_WIDTH = 100
_ACCOUNT = Place("us-east-1", "123456789012", domain="search-demo")
_SIGNED = "connectors"
_FIGURES = "<!-- figures: made by `python -m bench publish` -->"


def pages() -> dict[str, str]:
    """The text of every generated page, by its path below the project's folder."""
    kinds = load_kinds(load_schemas(ROOT / "schemas"))
    made = {f"docs/kinds/{name}.md": _kind(kind) for name, kind in kinds.items()}
    made["docs/errors.md"] = _errors()
    made["docs/commands.md"] = _commands()
    made["docs/permissions.md"] = _permissions(kinds)
    made["docs/saved-plans.md"] = _saved_plans()
    made["docs/performance.md"] = _performance()
    return made


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


# kinds


def _kind(kind: Kind) -> str:
    schema = kind.schema
    example = (ROOT / "docs" / "examples" / f"{kind.name}.yaml").read_text("utf-8")
    parts = [
        f"# {schema.document['title']}: `{kind.name}`",
        str(schema.document["description"]),
        f"```yaml\n{example}```",
        "## Fields",
        _table(("Field", "Type", "Default", "When it changes", "Meaning"), _fields(kind)),
    ]
    for heading, rule in _inner(schema.rule):
        rows = [
            (f"`{name}`", _type(one), _default(one, name in _required(rule)), _said(one))
            for name, one in _members(rule)
        ]
        parts += [f"### Inside `{heading}`", _table(("Field", "Type", "Default", "Meaning"), rows)]
    parts += [
        "Every object may also have `adopt`, `lifecycle` and `depends_on`.",
        "## What references may ask for",
        "\n".join(_attributes(kind)) or "Nothing but the fields themselves.",
        "## Whose it is",
        _ownership(kind),
        "## What a change does",
        _replacement(kind),
        "## Permissions",
        _table(("To", "In IAM", "In OpenSearch"), [(to, *_grants(grants)) for to, grants in _uses(kind)]),
        "Which identity needs them says [Permissions](../permissions.md).",
    ]
    return "\n\n".join(parts) + "\n"


def _fields(kind: Kind) -> Iterator[tuple[str, ...]]:
    schema = kind.schema
    for name, rule in _members(schema.rule):
        change = _on_change(schema, name, rule)
        change = change if kind.replaceable else change.replace("replaced", "refused")
        yield f"`{name}`", _type(rule), _default(rule, name in _required(schema.rule)), change, _said(rule)


def _members(rule: Rule) -> Iterator[tuple[str, Rule]]:
    yield from rule.members.items()
    for pattern, one in rule.patterns:
        yield pattern.pattern.removeprefix("^").removesuffix("$").replace("\\.", ".").replace("[a-z0-9_.]+", "*"), one


def _inner(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """The fields that have named members of their own."""
    for name, one in rule.members.items():
        if one.members:
            yield name, one
        elif one.items.members:
            yield f"{name}[]", one.items


def _on_change(schema: Schema, name: str, rule: Rule) -> str:
    if name in schema.create_only:
        said = "replaced"
    elif rule.resends:
        said = f"`{rule.resends}` is sent again"
    elif rule.local:
        said = "nothing is sent"
    elif name in schema.write_only:
        said = "sent again; the service never shows it, so it is compared with what was sent last"
    elif rule.additive:
        what = "keys" if _types(rule) == ["object"] else "entries of the shared list"
        said = f"our {what} are added and removed, others' stay"
    else:
        said = "updated in place"
    if rule.merge:
        said += "; taking a key away: replaced"
    elif said == "updated in place":
        said += _when_absent(schema, name, rule)
    if rule.exclusive:
        said += "; compared also when the manifest is silent"
    said += {
        "policy": "; compared by what it allows",
        "string": "; compared as text",
        "settings": "; compared as index settings, flat or nested",
        "mappings": "; compared as index mappings",
        "casefold": "; upper and lower case are the same",
    }.get(rule.compare, "")
    return said if rule.ordered or rule.additive else f"{said}; in any order"


def _when_absent(schema: Schema, name: str, rule: Rule) -> str:
    if name in _required(schema.rule):
        return ""
    if schema.shared:
        return "; taken away: back to what it was before, if it is as we left it"
    if rule.has_default:
        return "; taken away: back to the default"
    return "; taken away: the address's name" if name == schema.name_field else "; taken away: replaced"


def _attributes(kind: Kind) -> Iterator[str]:
    known = kind.attributes("x", {}, _ACCOUNT)
    for name in kind.schema.attributes:
        when = "known at plan time, where the account is" if name in known else "known once it is there"
        yield f"- `${{{kind.name}.<name>.{name}}}`: {when}."


def _ownership(kind: Kind) -> str:
    if kind.schema.shared:
        return (
            "It is shared: an object that exists already is not foreign, and is added to. What the manifest "
            "added is its own, entry by "
            "entry; what was there before, and what other manifests count on, is left."
        )
    if kind.marks:
        return (
            "It carries the mark of its manifest itself, as a tag. An object without our mark is not touched: "
            "the plan stops and offers "
            "`--adopt`. An object with another manifest's mark is refused."
        )
    if not kind.schema.server_made_ids:
        return (
            "It is known by its name, and is the manifest's where the ledger says so. An object of the same name "
            "that the ledger does not know is not touched: the plan stops and offers `--adopt`. What the service "
            "keeps for itself (reserved, static, hidden) is refused."
        )
    return (
        "It is known by the id the service made, which the ledger keeps: names may repeat. An object of the "
        "same name that the ledger does "
        "not know is not touched: the plan stops and offers `--adopt`. If several have the name, the plan lists "
        "them and stops."
    )


def _replacement(kind: Kind) -> str:
    schema = kind.schema
    if not kind.replaceable:
        return (
            "It is never replaced. Where the table says *refused*, the plan stops, says why, and says what can be done."
        )
    if schema.replaced_in_use:
        return (
            "One that nothing uses is updated in place. One in use is not edited: a new one is made, what uses "
            "it is pointed at the "
            "new one, and the old one is removed. The address stays, the id changes. So it is, too, where the "
            "table says *replaced*. With `update_strategy: in_place` one in use is edited all the same, where the "
            "service can."
        )
    if schema.server_made_ids:
        return (
            "Where the table says *replaced*, a new one is made, what uses it is pointed at it, and the old "
            "one is removed."
        )
    if schema.create_only == {schema.name_field}:
        return (
            "Where the table says *replaced*, a new one is made under the new name, what uses it is pointed at it, "
            "and the old one is removed."
        )
    if schema.create_only:
        return (
            "Where the table says *replaced*, the old one is deleted and a new one is made, for both would "
            "have the same name."
        )
    return "It is never replaced."


def _types(rule: Rule) -> list[str]:
    types = rule.schema.get("type", [])
    return (
        [str(types)] if isinstance(types, str) else [str(one) for one in types] if isinstance(types, Sequence) else []
    )


def _type(rule: Rule) -> str:
    if rule.compare == "policy":
        return "policy document"
    allowed = rule.schema.get("enum")
    if isinstance(allowed, Sequence):
        return ", ".join(f"`{one}`" for one in allowed)
    if _types(rule) == ["array"]:
        of = " or ".join(_types(rule.items)) or "value"
        return f"{'list' if rule.ordered else 'set'} of {'map' if of == 'object' else of}s"
    if _types(rule) == ["object"]:
        inside = rule.other_members
        if rule.members:
            return "map"
        return f"map of {_type(inside)}s" if inside.schema else "map"
    return " or ".join(one for one in _types(rule) if one != "null") or "value"


def _default(rule: Rule, required: bool) -> str:
    if required:
        return "required"
    return f"`{json.dumps(rule.default)}`" if rule.has_default else ""


def _required(rule: Rule) -> Sequence[Json]:
    required = rule.schema.get("required", ())
    return required if isinstance(required, Sequence) else ()


def _said(rule: Rule) -> str:
    said = str(rule.schema.get("description", ""))
    return f"{said} {_ONLY[rule.only]}" if rule.only else said


def _uses(kind: Kind) -> Iterator[tuple[str, Grants]]:
    """What a kind's grants are for."""
    yield "read", kind.to_read
    if kind.to_plan != Grants():
        yield "plan", kind.to_plan
    if kind.to_list is not None:
        yield "list", kind.to_list
    yield "change", kind.to_write


def _grants(grants: Grants) -> tuple[str, str]:
    opensearch = [f"`{one}`" for one in grants.opensearch]
    if grants.security_rest:
        opensearch.append("the Security REST API")
    return "<br>".join(f"`{one}`" for one in grants.iam), "<br>".join(opensearch)


# figures


def _performance() -> str:
    """The page as it is, with the table of the figures that were published last."""
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    before, _, rest = page.partition(_FIGURES)
    _, _, after = rest.partition(_FIGURES)
    figures = json.loads((ROOT / "docs" / "performance" / "figures.json").read_text("utf-8"))
    return f"{before}{_FIGURES}\n\n{report.markdown(figures)}\n{_FIGURES}{after}"


# error codes


def _errors() -> str:
    parts = [
        "# Error codes",
        "A problem starts with the place in the manifest, where there is one, and its code: `manifests/chat.yaml:14:5: "
        "error[unknown-reference]`. Codes stay the same from version to version; the words around them do not.",
    ]
    order = [*GROUPS, *sorted({code.group for code in CODES.values()} - GROUPS.keys())]
    for group in order:
        rows = [(f"`{name}`", code.meaning, code.remedy) for name, code in CODES.items() if code.group == group]
        parts += [f"## {GROUPS.get(group, group.capitalize())}", _table(("Code", "What happened", "What to do"), rows)]
    return "\n\n".join(parts) + "\n"


# commands


def commands() -> dict[str, str]:
    """Every command with its help text, as a terminal of 100 columns shows it."""
    import typer

    from reconciler.cli.app import app

    whole = typer.main.get_command(app)
    settings = whole.context_settings
    found: dict[str, str] = {}
    ahead = [("", whole)]
    while ahead:
        words, command = ahead.pop(0)
        if inner := getattr(command, "commands", None):
            ahead += [(f"{words} {name}".strip(), one) for name, one in inner.items()]
        else:
            context = command.context_class(command, info_name=f"reconciler {words}", terminal_width=_WIDTH, **settings)
            found[words] = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    return found


def _commands() -> str:
    parts = [
        "# Commands",
        "`reconciler COMMAND --help` prints what stands here. Results go to standard output, problems and "
        "progress to standard "
        "error.",
        _table(
            ("Exit code", "Meaning"),
            [
                ("0", "done, or nothing to do"),
                ("1", "error, a wrong usage included, or an apply that a signal stopped"),
                ("2", "there are differences"),
                ("3, 4", "of `drift` only, see there"),
                ("130, 143", "SIGINT or SIGTERM came, and nothing had been begun or everything was applied"),
            ],
        ),
    ]
    for name, text in commands().items():
        parts += [f"## `{name}`", f"```text\n{text.strip()}\n```"]
        if name in EXITS:
            parts.append(
                "Exit codes: " + "; ".join(f"{code}: {meaning}" for code, meaning in EXITS[name].items()) + "."
            )
        else:
            parts.append("Exit codes: 0: done; 1: error.")
    return "\n\n".join(parts) + "\n"


# permissions


def _permissions(kinds: Mapping[str, Kind]) -> str:
    signed = kinds[_SIGNED]
    uses = [
        (f"{to} {link}", *_grants(grants))
        for to in ("read", "plan", "list", "change")
        for kind, link in _linked(kinds.values())
        for use, grants in _uses(kind)
        if use == to and not (use == "change" and kind is signed)
    ]
    as_signer = (f"change {_link(signed)} without `sign_as`", "what the role in `sign_as` would need, see below")
    iam = [(to, needs) for to, needs, _ in uses if needs]
    iam += [
        (f"change {_link(signed)} with `sign_as`", f"{_codes((ASSUME,))} on that role"),
        as_signer,
        ("every command, on a domain", _codes(CLUSTER.iam)),
        ("read the ledger", _codes(READ_LEDGER.iam)),
        ("write the ledger and its lock", _codes(WRITE_LEDGER.iam)),
        ("verify", _codes(PREDICT.iam)),
        ("verify with documents", _codes(NEEDED.iam)),
        ("secrets of AWS Secrets Manager", _codes((READ_SECRET,))),
        ("`target.aws.assume_role`", f"{_codes((ASSUME,))} on that role, which then is the caller"),
    ]
    opensearch = [(to, needs) for to, _, needs in uses if needs]
    opensearch += [
        as_signer,
        ("every command: `GET /`", _codes(CLUSTER.opensearch)),
        ("every command: `GET /_plugins/_security/authinfo`", "being known is enough"),
        (f"read the ledger, the index `{INDEX}`", _codes(READ_LEDGER.opensearch)),
        (f"write the ledger and its lock, the index `{INDEX}`", _codes(WRITE_LEDGER.opensearch)),
        (
            "verify",
            f"{_codes(PREDICT.opensearch)} for predictions, {_codes(SEARCH.opensearch)} on what is searched",
        ),
        (f"verify with documents, the indices `{PREFIX}*`", _grants(NEEDED)[1]),
    ]
    passing = tuple(one for one in signed.to_write.iam if one == "iam:PassRole")
    calling = tuple(one for one in signed.to_write.iam if one.startswith("es:"))
    signer = [
        ("IAM, trust policy", "the caller may assume it"),
        ("IAM", f"{_codes(passing)} on the connector's role"),
        ("IAM", f"{_codes(calling)} on the domain"),
        (
            "OpenSearch",
            f"{_grants(signed.to_write)[1]}<br>(the security role `ml_full_access` has them: map the role's ARN to it)",
        ),
    ]
    secured = " or ".join(f"`{name}`" for name, kind in kinds.items() if kind.to_read.security_rest)
    parts = [
        "# Permissions",
        "Four identities take part. Each needs its own grants, and most failures of the chain are a grant given "
        "to the wrong one. On "
        "a cluster of one's own only the second table counts.",
        "`reconciler permissions --for COMMAND` prints what each needs for `drift`, `plan` or `apply` on a "
        "manifest, and "
        "no more: see [below](#for-one-manifest).",
        "**Reading the Security REST API needs the security role `all_access` or `security_manager`** "
        "(`security_rest_api_access` on a cluster of one's own). There is no read-only permission for it: with "
        "`es:ESHttpGet` alone, IAM sees to it that it is only read. "
        f"A manifest with {secured} needs it for `plan` already.",
        "The actions of OpenSearch are those of its security roles: `ml_read_access` has the reading ones of ML "
        "Commons but those of agents, "
        "`ml_full_access` all of them, `all_access` everything in this page.",
        "## The caller, in IAM",
        "Who runs the reconciler: a person, or CI. Actions that begin with `es:` count on the domain, "
        "`es:ESHttp*` is all of them. To plan is needed besides to read, to change besides both; to list is what "
        "`drift --unmanaged` and `export` do.",
        _table(("To", "Needs"), iam),
        "`sts:GetCallerIdentity`, which every command with an AWS target asks, needs no grant.",
        "## The caller, in OpenSearch",
        _table(("To", "Needs"), opensearch),
        "`indices:data/write/bulk` and `indices:admin/index_template/*` are permissions of the cluster, all "
        "others that "
        "begin with `indices:` of indices. With `--ledger FILE` the ledger needs nothing on the domain.",
        "Where access control of ML Commons is on, who does not have `all_access` is not shown all connectors, groups "
        "and models. Then a plan also reads the settings (`cluster:monitor/state`), looks as the roles "
        "in `sign_as` (`sts:AssumeRole` on them, and `ml_read_access` for them), and says what it makes "
        "without knowing whether others have made it. Drift looks as the caller alone, and says `unknown` of "
        "what it is "
        "not shown.",
        "## The role in `sign_as`",
        "Amazon OpenSearch Service lets nobody create a connector who may not hand its role on. The role in "
        "`sign_as` does it.",
        _table(("Where", "Needs"), signer),
        "## The connector's role",
        "The role in `credential.roleArn`: OpenSearch assumes it whenever the model is asked. The reconciler "
        "never does.",
        _table(
            ("Where", "Needs"),
            [
                ("IAM, trust policy", "`es.amazonaws.com` may assume it (`sts:AssumeRole`)"),
                (
                    "IAM",
                    "what the model asks for: `bedrock:InvokeModel` on the model and its inference profile, "
                    "`sagemaker:InvokeEndpoint` on the endpoint",
                ),
                (
                    "IAM, with `credential.secretArn`",
                    "`secretsmanager:GetSecretValue` and `secretsmanager:DescribeSecret` on the secret",
                ),
            ],
        ),
    ]
    parts += [
        "## For one manifest",
        "```text\nreconciler permissions --for plan manifests/\nreconciler permissions --for apply --json "
        "manifests/\n```",
        "It prints the caller's IAM policy and OpenSearch role, and those of every role in `sign_as`, out of what the "
        "manifest's kinds declare (the tables above). It looks at nothing live and reads no secret. Actions are "
        "allowed "
        "on the manifest's own objects: on their ARNs and indices by name, on `*` where AWS knows no resource "
        "(listings). "
        "`*` is also in the place of account, region and domain where the target does not state them.",
        "The role is the body of `PUT _plugins/_security/api/roles/NAME`; map the caller to it by his ARN, or on a "
        "cluster of one's own by his name. `also_map_to` are the security roles he has to be mapped to besides, "
        "for the "
        "Security REST API. `drift --unmanaged` and `apply --no-verify` have their options here, too. For "
        "`--ledger FILE` "
        "give it here as there.",
        "With `--json` there is one object: `for`, `iam_policy`, `opensearch_role`, `also_map_to`; `signers` "
        "with the same "
        "three by ARN; `assumes_caller`, the policy of whoever assumes `target.aws.assume_role`; `notes`, what the "
        "manifest does not tell. A policy or role that is not needed is `null`.",
        "What it can not know:",
        "- An apply also deletes what was taken out of the manifest since the last one, and `destroy` all of it: that "
        "needs what `apply` needed on the earlier manifest.\n"
        "- Encryption under a KMS key of one's own needs `kms:GenerateDataKey` and `kms:Decrypt` on the key, "
        "for whoever "
        "writes or reads the secret.\n"
        "- `raw` test queries may ask anything: they are among the `notes`.\n"
        "- Who is mapped to which role is asked by a plan that makes connectors with `sign_as`, to warn in "
        "time. Without "
        "the Security REST API there is no warning, and it is not among what is printed.",
        "A test grows these grants from nothing on the sandbox: each was refused, and the command failed, "
        "before it was "
        "given. (`cluster:admin/opensearch/ml/agents/update` was not: the sandbox's OpenSearch makes agents anew.)",
    ]
    return "\n\n".join(parts) + "\n"


# saved plans


def _saved_plans() -> str:
    schema = json.loads((ROOT / SAVED_PLAN).read_text("utf-8"))
    parts = [
        "# Saved plans",
        "```\nreconciler plan chat.yaml --out plan.json\nreconciler apply plan.json\n```",
        "The file holds the objects as they were stated when the plan was made, the target, the place of the ledger, "
        "and what was shown. `apply` makes the plan anew from that and from what is live then. It does what was shown, "
        "or it does nothing and names what moved: `error[stale-plan] connectors.chat: description changed since the "
        "plan was made`. What others add to shared lists, and states that pass by themselves, outdate no plan. Options "
        "and variables are given when the plan is made; files and environment variables of secrets are read when it is "
        "applied.",
        f"Its form is published as [`{SAVED_PLAN}`](../{SAVED_PLAN}) (JSON Schema 2020-12), which every file is "
        "checked against before it is applied. A file of a newer version is refused.",
        f"## {schema['title']}",
        str(schema["description"]),
    ]
    for heading, one in _shapes(schema, schema, ""):
        rows = [
            (f"`{name}`", _form(schema, member), _told(schema, member)) for name, member in one["properties"].items()
        ]
        parts += [f"### `{heading}`"] if heading else []
        parts.append(_table(("Key", "Type", "Meaning"), rows))
    return "\n\n".join(parts) + "\n"


def _shapes(whole: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with named members, by its path, as deep as there are any; values are the manifest's affair."""
    if "properties" in schema:
        yield path.removeprefix("."), schema
    inner = [(f"{path}.{name}", member) for name, member in schema.get("properties", {}).items()]
    inner += [(f"{path}[]", schema["items"])] if "items" in schema else []
    other = schema.get("additionalProperties")
    inner += [(f"{path}.*", other)] if isinstance(other, Mapping) else []
    for where, member in inner:
        for branch in member.get("anyOf", [member]):
            name = branch.get("$ref", "").rpartition("/")[2]
            if name not in ("value", "position"):
                yield from _shapes(whole, whole["$defs"].get(name, branch), where)


def _form(whole: Mapping[str, Any], member: Mapping[str, Any]) -> str:
    """The type of a member, in JSON Schema's words."""
    branches = [
        whole["$defs"].get(one.get("$ref", "").rpartition("/")[2], one) for one in member.get("anyOf", [member])
    ]
    found: list[str] = []
    for one in branches:
        stated = member.get("type", one.get("type", ()))
        found += [f"`{json.dumps(value)}`" for value in one.get("enum", [one["const"]] if "const" in one else [])]
        found += [stated] if isinstance(stated, str) else stated
    return " or ".join(dict.fromkeys(found)) or "any value"


def _told(whole: Mapping[str, Any], member: Mapping[str, Any]) -> str:
    """The description of a member, or of what it refers to."""
    branches = [member, *member.get("anyOf", ())]
    referred = [whole["$defs"][one["$ref"].rpartition("/")[2]] for one in branches if "$ref" in one]
    return str(next(one["description"] for one in (member, *referred) if "description" in one))


def _linked(kinds: Iterable[Kind]) -> Iterator[tuple[Kind, str]]:
    for kind in kinds:
        yield kind, _link(kind)


def _link(kind: Kind) -> str:
    return f"[`{kind.name}`](kinds/{kind.name}.md)"


def _codes(names: Iterable[str]) -> str:
    return "<br>".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
