"""The commands and their options. What they do is in `commands`, loaded when one is run."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from reconciler.cli.options import Common, Consent, Load


class ListByDefault(TyperGroup):
    """A group whose command `list` needs no name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if named else ["list", *args])


app = typer.Typer(
    name="reconciler",
    help="Terraform without a state file, for the chain that lets OpenSearch ask a language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
policy = typer.Typer(
    help="Compare IAM policy documents by what they mean.", no_args_is_help=True, rich_markup_mode=None
)
sandbox = typer.Typer(
    help="A real OpenSearch with IAM and model endpoints on this machine, without an account.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
history_group = typer.Typer(
    cls=ListByDefault, help="Show what earlier applies did.", no_args_is_help=True, rich_markup_mode=None
)
ledger_group = typer.Typer(help="See to the ledger itself.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(policy, name="policy")
app.add_typer(history_group, name="history")
app.add_typer(ledger_group, name="ledger")
app.add_typer(sandbox, name="sandbox")

Paths = Annotated[list[str], typer.Argument(help="Manifest files or folders.", show_default=False)]
PlanOrPaths = Annotated[
    list[str], typer.Argument(help="Manifest files or folders, or one saved plan.", show_default=False)
]
Var = Annotated[list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="The value of a variable.")]
VarFile = Annotated[list[Path] | None, typer.Option("--var-file", help="A YAML or JSON file of variables' values.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Form = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="What to print: text, json, ndjson, markdown, step-summary, junit, sarif, or github (text and "
        "annotations).",
        show_default="text",
    ),
]
ReportFiles = Annotated[
    list[str] | None,
    typer.Option("--report", metavar="FORMAT=FILE", help="Write a report to FILE too. May be given again."),
]
Summary = Annotated[bool, typer.Option("--summary", help="Show a line for each change and no more.")]
Full = Annotated[bool, typer.Option("--full", help="Show what is the same, too.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colour. NO_COLOR does the same.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where inside the reconciler an error arose.")]
Stats = Annotated[Path | None, typer.Option("--stats", metavar="FILE", help="Write requests, time and memory to FILE.")]
LedgerFile = Annotated[Path | None, typer.Option("--ledger", metavar="FILE", help="Keep the ledger in FILE.")]
Adopt = Annotated[list[str] | None, typer.Option("--adopt", metavar="ADDRESS", help="Take over this object.")]
AdoptAll = Annotated[bool, typer.Option("--adopt-all", help="Take over everything that exists already.")]
Target = Annotated[
    list[str] | None, typer.Option("--target", metavar="ADDRESS", help="Only this object and what it depends on.")
]
MaxDeletes = Annotated[
    int | None, typer.Option("--max-deletes", metavar="N", help="Refuse to delete or replace more than N objects.")
]
AllowLockout = Annotated[bool, typer.Option("--allow-lockout", help="Allow losing one's own access.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. For CI.")]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Leave out the test queries afterwards.")]
LockTimeout = Annotated[
    float, typer.Option("--lock-timeout", metavar="SECONDS", help="How long to wait while somebody else applies.")
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write it to FILE as a page of HTML.")]
Name = Annotated[str, typer.Option("--name", help="Which sandbox.")]


@app.callback()
def root(
    ctx: typer.Context,
    profile: Annotated[
        Path | None,
        typer.Option("--profile", metavar="FILE", help="Write a page to FILE that shows where the time goes."),
    ] = None,
) -> None:
    """See to what all commands have in common."""
    if profile is not None:
        from reconciler.cli.profile import begin

        ctx.call_on_close(begin(profile))


@app.command()
def init(
    out: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The file to write; <name>.yaml when absent.", show_default=False),
    ] = None,
    example: Annotated[
        str | None, typer.Option("--from", metavar="EXAMPLE", help="The example to begin with; see --list.")
    ] = None,
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="The manifest's name.")] = None,
    var: Var = None, var_file: VarFile = None,
    listing: Annotated[bool, typer.Option("--list", help="List the examples there are, and write nothing.")] = False,
    json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Start a manifest from an example. Asks, on a terminal, for what the options do not say."""
    from reconciler.cli import init_commands

    common = Common(json, no_color, debug)
    if listing:
        init_commands.list_examples(common)
    else:
        init_commands.init(init_commands.Start(out, example, name, var or [], var_file or []), common)


@app.command()
def validate(
    paths: Paths,
    var: Var = None,
    var_file: VarFile = None,
    json: Json = False,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Check a manifest without looking at anything live."""
    from reconciler.cli import commands

    commands.validate(Load(paths, var or [], var_file or []), Common(json, no_color, debug))


@app.command()
def plan(
    paths: Paths, var: Var = None, var_file: VarFile = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Save the plan for apply.")] = None,
    html: Html = None,
    calls: Annotated[bool, typer.Option("--calls", help="List the API calls to come.")] = False,
    detailed_exitcode: Annotated[bool, typer.Option("--detailed-exitcode", help="Exit with 2 on changes.")] = False,
    adopt: Adopt = None, adopt_all: AdoptAll = False, target: Target = None, max_deletes: MaxDeletes = None,
    allow_lockout: AllowLockout = False, ledger: LedgerFile = None, stats: Stats = None,
    summary: Summary = False, full: Full = False, form: Form = "", report: ReportFiles = None,
    json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Show what differs from what is live. Writes nothing."""
    from reconciler.cli import commands

    load = Load(
        paths, var or [], var_file or [], adopt or [], adopt_all, ledger,
        target=target or [], max_deletes=max_deletes, allow_lockout=allow_lockout,
    )  # fmt: skip
    common = Common(json, no_color, debug, stats, form, report or [])
    wish = commands.Wish(out, html, calls, detailed_exitcode, commands.detail(summary=summary, full=full))
    commands.plan(load, common, wish)


@app.command()
def apply(
    paths: PlanOrPaths, var: Var = None, var_file: VarFile = None, yes: Yes = False, no_verify: NoVerify = False,
    lock_timeout: LockTimeout = 0.0, adopt: Adopt = None, adopt_all: AdoptAll = False, target: Target = None,
    max_deletes: MaxDeletes = None, allow_lockout: AllowLockout = False, ledger: LedgerFile = None, stats: Stats = None,
    summary: Summary = False, full: Full = False, form: Form = "", report: ReportFiles = None,
    json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Make the changes a plan shows. Asks first."""
    from reconciler.cli import commands

    load = Load(
        paths, var or [], var_file or [], adopt or [], adopt_all, ledger,
        target=target or [], max_deletes=max_deletes, allow_lockout=allow_lockout,
    )  # fmt: skip
    common = Common(json, no_color, debug, stats, form, report or [])
    shown = commands.detail(summary=summary, full=full)
    commands.apply(load, common, Consent(yes, lock_timeout), no_verify, shown)


@app.command()
def verify(
    paths: Paths, var: Var = None, var_file: VarFile = None,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="Only this query.")] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the results to FILE as JUnit's XML.")
    ] = None,
    ledger: LedgerFile = None, stats: Stats = None, json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Prove the chain by asking the manifest's test queries. Writes to temporary indices of its own only."""
    from reconciler.cli import commands

    load = Load(paths, var or [], var_file or [], ledger=ledger)
    commands.verify(load, Common(json, no_color, debug, stats), only or [], junit)


@app.command()
def drift(
    paths: Paths, var: Var = None, var_file: VarFile = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="FILE", help="Accepted drift; else drift-baseline.yaml there.")
    ] = None,
    accept: Annotated[
        list[str] | None, typer.Option("--accept", metavar="ADDRESS", help="Accept what drifts of this object.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why it is accepted.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="DAY", help="The last day, as 2027-01-31.")] = None,
    unmanaged: Annotated[
        bool, typer.Option("--unmanaged", help="List what no manifest owns, too. Takes a listing of each kind more.")
    ] = False,
    fail_on_pending: Annotated[
        bool, typer.Option("--fail-on-pending", help="Exit with 3 where the manifest is not applied.")
    ] = False,
    watch: Annotated[
        str | None, typer.Option("--watch", metavar="INTERVAL", help="Look every 30s, 5m or 1h until stopped.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="[HOST:]PORT", help="With --watch: show metrics and health on this port."),
    ] = None,
    html: Html = None, ledger: LedgerFile = None, stats: Stats = None, form: Form = "", report: ReportFiles = None,
    json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Show what is live and not as it was applied. Can not write. For schedules."""
    from reconciler.cli import drift_commands

    load = Load(paths, var or [], var_file or [], ledger=ledger)
    common = Common(json, no_color, debug, stats, form, report or [])
    scope = drift_commands.Scope(baseline, unmanaged, fail_on_pending, html)
    if watch is not None or listen is not None:
        from reconciler.cli import watch_commands

        how = watch_commands.wanted(watch, listen, accept or reason or until)
        watch_commands.watch(load, common, scope, how)
    elif accept or reason or until:
        drift_commands.accept(load, common, scope, drift_commands.Accept(accept or [], reason, until))
    else:
        drift_commands.drift(load, common, scope)


@app.command()
def graph(
    paths: Paths, var: Var = None, var_file: VarFile = None,
    drawing: Annotated[str, typer.Option("--format", metavar="FORMAT", help="svg, mermaid or dot.")] = "svg",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to FILE instead of standard output.")
    ] = None,
    planned: Annotated[
        bool, typer.Option("--plan", help="Look at what is live, and mark what a plan would do to each object.")
    ] = False,
    ledger: LedgerFile = None, stats: Stats = None, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Draw the objects of a manifest and what needs what. Looks at nothing live without --plan."""
    from reconciler.cli import graph_commands

    load = Load(paths, var or [], var_file or [], ledger=ledger)
    wanted = graph_commands.Drawing(drawing, out, planned)
    graph_commands.graph(load, Common(no_color=no_color, debug=debug, stats=stats), wanted)


@app.command()
def permissions(
    paths: Paths, var: Var = None, var_file: VarFile = None,
    purpose: Annotated[
        str, typer.Option("--for", metavar="COMMAND", help="The command: drift, plan or apply.", show_default=False)
    ] = "",
    unmanaged: Annotated[bool, typer.Option("--unmanaged", help="For drift --unmanaged.")] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="For apply --no-verify.")] = False,
    ledger: LedgerFile = None, json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Print the IAM policy and the OpenSearch role that a command needs on a manifest. Looks at nothing live."""
    from reconciler.cli import permission_commands

    load = Load(paths, var or [], var_file or [], ledger=ledger)
    wanted = permission_commands.Wanted(purpose, unmanaged, no_verify)
    permission_commands.permissions(load, Common(json, no_color, debug), wanted)


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The folder to write; new, or empty.")],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="URL", help="The OpenSearch domain or cluster to read.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option("--domain", metavar="NAME", help="The domain's name on Amazon OpenSearch Service.")
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option(
            "--auth", help="sigv4, as on Amazon OpenSearch Service, or basic, with OPENSEARCH_USERNAME and _PASSWORD."
        ),
    ] = None,
    ca_file: Annotated[
        str | None, typer.Option("--ca-file", metavar="FILE", help="The certificates to trust.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="The AWS region; IAM is read too.")
    ] = None,
    account_id: Annotated[
        str | None, typer.Option("--account-id", help="The AWS account it has to be; IAM is read too.")
    ] = None,
    profile: Annotated[str | None, typer.Option("--aws-profile", help="The profile of the AWS configuration.")] = None,
    assume_role: Annotated[
        str | None, typer.Option("--assume-role", metavar="ARN", help="The IAM role to read as.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The manifest's name; the domain's when absent.")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", metavar="KIND", help="Only this kind.")] = None,
    names: Annotated[
        list[str] | None, typer.Option("--name", metavar="PATTERN", help="Only what is called so, as chat-*.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="KEY=VALUE", help="Of what can have tags only what has this one."),
    ] = None,
    stats: Stats = None, json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Write a manifest of what is live, to take it over. Changes nothing there."""
    from reconciler.cli import export_commands

    whence = export_commands.Whence(endpoint, domain, auth, ca_file, region, account_id, profile, assume_role)
    wanted = export_commands.Wanted(kind or [], names or [], tag or [])
    export_commands.export(whence, wanted, out, name, Common(json, no_color, debug, stats))


@app.command()
def destroy(
    paths: Paths, var: Var = None, var_file: VarFile = None, yes: Yes = False,
    include_adopted: Annotated[bool, typer.Option("--include-adopted", help="Delete adopted objects too.")] = False,
    lock_timeout: LockTimeout = 0.0, ledger: LedgerFile = None, stats: Stats = None,
    json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Remove everything that is the manifest's. Asks first."""
    from reconciler.cli import commands

    load = Load(paths, var or [], var_file or [], ledger=ledger, include_adopted=include_adopted)
    commands.destroy(load, Common(json, no_color, debug, stats), Consent(yes, lock_timeout))


@app.command()
def show(
    paths: Paths, var: Var = None, var_file: VarFile = None, ledger: LedgerFile = None, stats: Stats = None,
    json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Show what is live of the objects a manifest names."""
    from reconciler.cli import commands

    commands.show(Load(paths, var or [], var_file or [], ledger=ledger), Common(json, no_color, debug, stats))


@app.command()
def version(json: Json = False) -> None:
    """Print the version."""
    from reconciler.cli.version import print_version

    print_version(json)


@history_group.command("list")
def history_list(
    paths: Paths, var: Var = None, var_file: VarFile = None,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, max=10_000, help="How many applies.")] = 20,
    ledger: LedgerFile = None, stats: Stats = None, json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """List the last applies of a manifest, newest first. `reconciler history PATHS...` does the same."""
    from reconciler.cli import ledger_commands

    load = Load(paths, var or [], var_file or [], ledger=ledger)
    ledger_commands.history(load, Common(json, no_color, debug, stats), last)


@history_group.command("show")
def history_show(
    number: Annotated[
        int, typer.Argument(metavar="N", min=1, max=10_000, help="Which apply; the newest is 1.")
    ],
    paths: Paths, var: Var = None, var_file: VarFile = None, ledger: LedgerFile = None, stats: Stats = None,
    json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Show one apply in full: what changed, by whom, what failed, and what was not as planned."""
    from reconciler.cli import ledger_commands

    load = Load(paths, var or [], var_file or [], ledger=ledger)
    ledger_commands.history_show(load, Common(json, no_color, debug, stats), number)


@app.command()
def forget(
    addresses: Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="Objects, as kind.name.")],
    manifest: Annotated[list[str], typer.Option("--manifest", "-m", metavar="PATH", help="The manifest's files.")],
    var: Var = None, var_file: VarFile = None, yes: Yes = False, lock_timeout: LockTimeout = 0.0,
    ledger: LedgerFile = None, stats: Stats = None, json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Give objects up without touching them: they are nobody's afterwards."""
    from reconciler.cli import ledger_commands

    load = Load(manifest, var or [], var_file or [], ledger=ledger)
    common = Common(json, no_color, debug, stats)
    ledger_commands.forget(load, common, addresses, Consent(yes, lock_timeout))


@app.command()
def unlock(
    paths: Paths, var: Var = None, var_file: VarFile = None, yes: Yes = False, ledger: LedgerFile = None,
    stats: Stats = None, json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Free a manifest's lock that nobody gave back. Asks first."""
    from reconciler.cli import ledger_commands

    load = Load(paths, var or [], var_file or [], ledger=ledger)
    ledger_commands.unlock(load, Common(json, no_color, debug, stats), Consent(yes))


@ledger_group.command("rebind")
def ledger_rebind(
    paths: Paths, var: Var = None, var_file: VarFile = None, yes: Yes = False, ledger: LedgerFile = None,
    stats: Stats = None, json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Bind a ledger that a snapshot brought along to the cluster it is on now. Asks first."""
    from reconciler.cli import ledger_commands

    load = Load(paths, var or [], var_file or [], ledger=ledger)
    ledger_commands.rebind(load, Common(json, no_color, debug, stats), Consent(yes))


@policy.command("diff")
def policy_diff(
    a: Annotated[Path, typer.Argument(help="A policy document as JSON or YAML.")],
    b: Annotated[Path, typer.Argument(help="Another one.")],
    json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Compare two policy documents, statement by statement. Exits with 0 when they mean the same, else with 2."""
    from reconciler.cli import policy_commands

    policy_commands.policy_diff(a, b, Common(json, no_color, debug))


@sandbox.command("up")
def sandbox_up(
    flavour: Annotated[str, typer.Option("--flavour", help="aws or self-managed.")] = "aws",
    name: Name = "default", json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Start a sandbox."""
    from reconciler.cli import sandbox_commands

    sandbox_commands.up(name, flavour, Common(json, no_color, debug))


@sandbox.command("down")
def sandbox_down(name: Name = "default", json: Json = False, no_color: NoColor = False, debug: Debug = False) -> None:
    """Stop a sandbox and remove what it left."""
    from reconciler.cli import sandbox_commands

    sandbox_commands.down(name, Common(json, no_color, debug))


@sandbox.command("status")
def sandbox_status(name: Name = "default", json: Json = False, no_color: NoColor = False, debug: Debug = False) -> None:
    """Say whether a sandbox runs, and where."""
    from reconciler.cli import sandbox_commands

    sandbox_commands.status(name, Common(json, no_color, debug))


@sandbox.command("list")
def sandbox_list(json: Json = False, no_color: NoColor = False, debug: Debug = False) -> None:
    """Name the sandboxes there are."""
    from reconciler.cli import sandbox_commands

    sandbox_commands.list_all(Common(json, no_color, debug))


@sandbox.command("reset")
def sandbox_reset(name: Name = "default", json: Json = False, no_color: NoColor = False, debug: Debug = False) -> None:
    """Bring a sandbox back to what it was when it started, at the same addresses."""
    from reconciler.cli import sandbox_commands

    sandbox_commands.reset(name, Common(json, no_color, debug))


@sandbox.command("log")
def sandbox_log(
    name: Name = "default",
    last: Annotated[int, typer.Option("--last", metavar="N", help="How many requests.")] = 100,
    refused: Annotated[bool, typer.Option("--refused", help="Only those that were not answered with success.")] = False,
    json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Show the requests a sandbox got: who made them, what was decided, by which layer and rule."""
    from reconciler.cli import sandbox_commands

    sandbox_commands.log(name, last, Common(json, no_color, debug), refused_only=refused)


@sandbox.command("fault")
def sandbox_fault(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="latency, throttle, error, drop (the answer, after the write), propagation (IAM's changes count "
            "later), stale (ML Commons' searches show updates later), deploy (of models), model (answers of a model's "
            "host), restart (the node, once), or off (all of them).",
            show_default=False,
        ),
    ],
    on: Annotated[
        str, typer.Option("--on", metavar="WHERE", help="Only at domain, aws or models; of model: the host.")
    ] = "",
    match: Annotated[
        str, typer.Option("--match", metavar="REGEX", help="Only requests in which it is found, as the log shows them.")
    ] = "",
    times: Annotated[int, typer.Option("--times", metavar="N", help="How often; 0 stands for always.")] = 0,
    seconds: Annotated[
        float, typer.Option("--seconds", help="How long, of latency, propagation, stale and slow.")
    ] = 1.0,
    share: Annotated[
        float, typer.Option("--share", help="Of throttle and error: the share of requests, up to 1.")
    ] = 1.0,
    status: Annotated[int, typer.Option("--status", help="Of error: 409, 500, 502, 503 or 504.")] = 503,
    answer: Annotated[
        str,
        typer.Option(
            "--answer",
            help="Of model: throttled, unauthorised, wrong-model, balance, error, unavailable, malformed or slow; "
            "of deploy: error or stuck.",
        ),
    ] = "error",
    name: Name = "default", json: Json = False, no_color: NoColor = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Make things go wrong in a sandbox."""
    from reconciler.cli import sandbox_commands

    wanted = sandbox_commands.Trouble(kind, on, match, times or None, seconds, share, status, answer)
    sandbox_commands.fault(name, wanted, Common(json, no_color, debug))


@sandbox.command("env")
def sandbox_env(name: Name = "default", json: Json = False, no_color: NoColor = False, debug: Debug = False) -> None:
    """Print exports with which `aws`, `curl` and the reconciler work against a sandbox."""
    from reconciler.cli import sandbox_commands

    sandbox_commands.env(name, Common(json, no_color, debug))
