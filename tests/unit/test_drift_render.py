"""What drift prints: a line for each finding, the counts last, and no value that is never shown."""

import json
from datetime import date

from reconciler.drift.report import Acceptance, Class, Coverage, Finding, Invisible, Report
from reconciler.errors import Position
from reconciler.ledger import Ledger
from reconciler.model.change import FieldChange
from reconciler.model.kind import Place
from reconciler.model.objects import Address, Row
from reconciler.plan.plan import Context
from reconciler.render.drift import drift_json, lines, reading, summary
from tests.support.bench import kinds, manifest

ROLE, CONNECTOR, MODEL = (
    Address("iam_roles", "invoke"), Address("connectors", "chat"), Address("models", "deepseek-r1"),
)  # fmt: skip
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
FINDINGS = (
    Finding(MODEL, Class.MISSING, "it is gone", position=Position("chat.yaml", 71, 3)),
    Finding(
        CONNECTOR,
        Class.CHANGED,
        fields=(FieldChange(("parameters", "model"), "deepseek-chat", "deepseek-reasoner"),),
        position=Position("chat.yaml", 30, 3),
    ),
    Finding(
        ROLE,
        Class.EXTRA,
        fields=(
            FieldChange(("managed_policy_arns",), None, ADMIN, widens=True),
            FieldChange(("inline_policies", "p"), None, "allow s3:* on *", text="+ allow s3:* on *", widens=True),
        ),
    ),
    Finding(ROLE, Class.CHANGED, fields=(FieldChange(("description",), "a", None),),
            accepted=Acceptance("by hand", date(2027, 1, 31))),
    Finding(CONNECTOR, Class.UNKNOWN, "no permissions for [x]"),
    Finding(
        CONNECTOR,
        Class.PENDING,
        fields=(FieldChange(("credential", "key"), "Bearer abc", "Bearer abcd", write_only=True),),
    ),
    Finding(Address("models", "theirs"), Class.UNMANAGED, "id-1"),
)  # fmt: skip


def report() -> Report:
    rows = {
        address: Row(address, "chain", applied_at="2026-11-20T08:12:33.123Z") for address in (ROLE, CONNECTOR, MODEL)
    }
    return Report(
        Context(manifest("chain"), kinds(), Place(), ledger=Ledger("l", rows=rows)),
        FINDINGS,
        [Invisible(CONNECTOR, "credential")],
        [Coverage("models", 1, 2), Coverage("iam_roles", untold="AccessDenied"), Coverage("tenants")],
        3,
        "2026-11-20T08:12:33.123Z",
        ["something could not be told"],
    )


def test_each_finding_has_its_line_and_the_counts_stand_last() -> None:
    assert [line.plain.rstrip() for line in lines(report())] == [
        "  missing     models.deepseek-r1   it is gone   chat.yaml:71",
        '  changed     connectors.chat      parameters.model "deepseek-chat" -> "deepseek-reasoner"   chat.yaml:30',
        f"  extra       iam_roles.invoke     managed_policy_arns: + {ADMIN}   widens privileges",
        "                                   inline_policies.p: + allow s3:* on *   widens privileges",
        "  accepted    iam_roles.invoke     description: - a",
        "                                   changed, accepted until 2027-01-31: by hand",
        "  unknown     connectors.chat      no permissions for [x]",
        '  pending     connectors.chat      credential.key "(not shown)" -> "(not shown)"',
        "  unmanaged   models.theirs        id-1",
        "  (something could not be told)",
        "  (not visible: credential of connectors.chat; the service never shows it)",
        "  models: 1 of 2 managed (50 %)",
        "  iam_roles: what there is can not be told: AccessDenied",
    ]
    assert summary(report()).plain == (
        "3 drifted, 1 not applied yet, 0 in sync, 1 unknown, 1 accepted, 1 unmanaged (last applied 2026-11-20 08:12). "
        "1 widens privileges."
    )
    assert reading(report(), 1, 0.25).plain == "looked after 3 objects in 1 request, 0.2 s"


def test_json_has_the_same_facts_and_no_value_that_is_never_shown() -> None:
    found = drift_json(report(), "2026-11-21T00:00:00Z", 2)
    text = json.dumps(found)
    assert "Bearer" not in text
    told = json.loads(text)
    assert [one["class"] for one in told["findings"]] == [str(one.kind) for one in FINDINGS]
    assert told["findings"][0]["line"] == 71
    assert told["findings"][1]["differences"] == [
        {
            "path": "parameters.model",
            "before": "deepseek-chat",
            "after": "deepseek-reasoner",
            "text": "",
            "told": "deepseek-reasoner",
            "widens": False,
            "write_only": False,
        }
    ]
    assert told["findings"][3]["accepted"] == {"reason": "by hand", "until": "2027-01-31"}
    assert (told["exit_code"], told["counts"]["drifted"], told["counts"]["unknown"]) == (2, 3, 1)
    assert told["invisible"][0]["reason"] == "the service never shows it"
