"""An export as the files of a manifest folder, and as what the command says of it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from reconciler.canonical.json import Json
from reconciler.diff import dotted
from reconciler.export.collect import Export, Withheld
from reconciler.manifest.load import AwsTarget, OpenSearchTarget, SigV4Auth
from reconciler.manifest.templates import Template, Value, written
from reconciler.model.objects import Address
from reconciler.render.problems import problem_json
from reconciler.render.yaml_text import dumped

TOP = "manifest.yaml"
SECRETS = "secrets.yaml"
_HEAD = "# Exported from what is live. `apply --adopt-all` takes it over, and the plan after that is empty.\n"
_FILL_IN = """\
# To fill in: what no service shows. Before the first apply set these variables of the environment, or say where
# else the values are kept ({ file: ... } or { secretsmanager: { secret_id: ... } }). What is no secret, such as the
# ARN of a role, may be written in place of its reference.
"""


def files(export: Export) -> dict[str, str]:
    """The text of each file, by its name: one with the target, one for each section."""
    context = export.context
    attributes = {name: kind.schema.attributes for name, kind in context.kinds.items()}
    sections: dict[str, list[Address]] = defaultdict(list)
    for address in sorted(export.objects):
        sections[address.kind].append(address)
    waiting: dict[Address, list[Withheld]] = defaultdict(list)
    for secret in export.secrets:
        waiting[secret.address].append(secret)
    found = {TOP: _HEAD + dumped(_top(export))}
    for kind, addresses in sections.items():
        parts = [f"{kind}:\n"]
        for address in addresses:
            fields = _plain(export.objects[address], attributes)
            parts += [f"  # To fill in: {dotted(one.path)}\n" for one in waiting[address]]
            parts.append(dumped({address.name: fields}, 2))
        found[f"{kind}.yaml"] = "".join(parts)
    if export.secrets:
        found[SECRETS] = f"{_FILL_IN}secrets:\n" + "".join(
            f"  # {one.address}: {dotted(one.path)}\n" + dumped({one.name: {"env": one.variable}}, 2)
            for one in export.secrets
        )
    return found


def lines(export: Export, folder: str) -> Iterator[str]:
    """What was written, and what to do next."""
    total = len(export.objects)
    yield f"{export.context.manifest.name}: {total:,} objects, in {folder}."
    yield from (f"  {count:>5,} {kind}" for kind, count in sorted(export.counts.items()))
    if export.kept:
        yield f"Left out: {export.kept:,} that the services keep for themselves."
    if export.secrets:
        yield f"To fill in before the first apply ({SECRETS}):"
        width = max(len(one.variable) for one in export.secrets)
        yield from (f"  {one.variable:<{width}}  {one.address}: {dotted(one.path)}" for one in export.secrets)
    if total:
        yield f"Next: `reconciler apply {folder} --adopt-all` takes everything over and changes nothing."


def exported_json(export: Export, folder: str, names: Iterable[str]) -> dict[str, Json]:
    """What was written, as JSON."""
    return {
        "manifest": export.context.manifest.name,
        "folder": folder,
        "files": sorted(names),
        "objects": dict(sorted(export.counts.items())),
        "kept_by_services": export.kept,
        "fill_in": [
            {
                "secret": one.name,
                "environment": one.variable,
                "address": str(one.address),
                "field": dotted(one.path),
            }
            for one in export.secrets
        ],
        "problems": [problem_json(problem) for problem in export.warnings],
    }


def _top(export: Export) -> dict[str, Json]:
    """The manifest's name and target; what differs from place to place as variables, called as in the examples."""
    manifest, place = export.context.manifest, export.context.place
    values = {
        "region": place.region if manifest.target.aws else "",
        "account_id": place.account_id if manifest.target.aws else "",
        "opensearch_endpoint": place.endpoint,
        "domain": place.domain,
    }
    variables: dict[str, Json] = {name: value for name, value in values.items() if value}
    target = {**_aws(manifest.target.aws, variables), **_opensearch(manifest.target.opensearch, variables)}
    return {"manifest": manifest.name, **({"variables": variables} if variables else {}), "target": target}


def _aws(target: AwsTarget | None, variables: Mapping[str, Json]) -> dict[str, Json]:
    if target is None:
        return {}
    own = {"profile": target.profile, "assume_role": target.assume_role}
    return {"aws": {**_of_variables(variables, region="region", account_id="account_id"), **_said(own)}}


def _opensearch(target: OpenSearchTarget | None, variables: Mapping[str, Json]) -> dict[str, Json]:
    if target is None:
        return {}
    own = {"auth": "sigv4" if isinstance(target.auth, SigV4Auth) else "basic", "ca_file": target.ca_file}
    return {"opensearch": {**_of_variables(variables, endpoint="opensearch_endpoint", domain="domain"), **_said(own)}}


def _of_variables(variables: Mapping[str, Json], **names: str) -> dict[str, Json]:
    return {key: f"${{var.{name}}}" for key, name in names.items() if name in variables}


def _said(stated: Mapping[str, str | None]) -> dict[str, Json]:
    return {name: value for name, value in stated.items() if value is not None}


def _plain(value: Mapping[str, Value], attributes: Mapping[str, Sequence[str]]) -> dict[str, Json]:
    """What a manifest's file says, so that `value` is read from it."""
    return {written(key, attributes): _said_inside(one, attributes) for key, one in value.items()}


def _said_inside(value: Value, attributes: Mapping[str, Sequence[str]]) -> Json:
    if isinstance(value, str | Template):
        return written(value, attributes)
    if isinstance(value, Mapping):
        return _plain(value, attributes)
    if isinstance(value, Sequence):
        return [_said_inside(one, attributes) for one in value]
    return value
