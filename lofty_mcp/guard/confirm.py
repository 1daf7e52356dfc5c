"""Whether a planned act goes ahead: asked of a person where the client can, else in two steps."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any, ParamSpec

import anyio
from mcp.server.mcpserver import AcceptedElicitation, Elicit, ElicitationResult, Resolve

from lofty_mcp import telemetry
from lofty_mcp.app import Call, Ctx, call
from lofty_mcp.client.pacing import BURST
from lofty_mcp.errors import Refused
from lofty_mcp.guard.asking import approves, can_ask, is_asking_era, said_yes
from lofty_mcp.guard.effects import Allow, Ask, Effect, Policy, Refuse, decide
from lofty_mcp.guard.plans import Act, Approval, Plan, Step, issue_code, make_plan, still_fits
from lofty_mcp.guard.tickets import ALL_WRITES_SECONDS, PAUSED, PLAN_SECONDS, STOPPING, Executor
from lofty_mcp.guard.wording import preview, question
from lofty_mcp.ledger import Ledger, LedgerError, hashed
from lofty_mcp.models.base import iso
from lofty_mcp.models.results import RowResult, WriteResult, status_of

P = ParamSpec("P")
WORDS = 4
"""Requests for the account's own words that a first call makes beside reading leads."""
MOST_QUESTIONS = 3
DECLINED = (
    "Nothing was changed. If this app never showed a question, its operator can set LOFTY_MCP_QUESTIONS=off to confirm "
    "by code instead."
)
WRONG_NAME = "Nothing was changed: the name that was typed is not the lead's name as the question shows it."
TOLD_AGAIN = "Nothing was sent now: this tells again what became of it before."


@dataclass(frozen=True)
class Go:
    """Carry out this plan."""

    plan: Plan


@dataclass(frozen=True)
class Stop:
    """Do nothing now; answer this."""

    result: WriteResult


Verdict = Go | Stop
Answer = ElicitationResult[Any]
"""What a write tool's resolver yields: a verdict of ours, or a person's answer to the question."""


async def plan_act(act: Act[Any], lead_ids: list[str], code: str | None) -> Plan:
    """Plan `act` for the call being served; see `make_plan`."""
    current = call()
    current.leads = list(lead_ids)
    if len(lead_ids) > (cap := current.app.settings.bulk_leads):
        raise Refused(f"lead_ids: at most {cap} leads at once here. Nothing was changed.")
    if len(lead_ids) > (most := leads_in_time(current.account.client.pacer.per_minute)):
        raise Refused(
            f"At the rate that Lofty allows now, one call can take {most} leads. Do it in smaller parts. "
            "Nothing was changed."
        )
    with anyio.fail_after(PLAN_SECONDS):
        return await make_plan(
            current.crm, current.app.ledger, current.account.principal, act, lead_ids, code, now=current.app.clock()
        )


def leads_in_time(per_minute: float) -> int:
    """How many leads can be read while planning, beside the account's own words, at so many requests a minute."""
    return max(1, int(BURST + per_minute / 60 * PLAN_SECONDS) - WORDS)


def in_time(planner: Callable[P, Awaitable[Plan]]) -> Callable[P, Awaitable[Plan]]:
    """`planner` within the time that planning may take, whatever it has to look up."""

    @wraps(planner)
    async def timely(*args: P.args, **kwargs: P.kwargs) -> Plan:
        with anyio.fail_after(PLAN_SECONDS):
            return await planner(*args, **kwargs)

    return timely


def asker(planner: Callable[..., Awaitable[Plan]]) -> Callable[..., Awaitable[Verdict | Elicit[Approval]]]:
    """The resolver of a write tool's `answer`, decided on the plan that `planner` makes."""

    async def ask(plan: Plan, ctx: Ctx) -> Verdict | Elicit[Approval]:
        return await verdict(plan, ctx)

    ask.__annotations__["plan"] = Annotated[Plan, Resolve(planner)]
    return ask


async def verdict(plan: Plan, ctx: Ctx) -> Verdict | Elicit[Approval]:
    """Whether `plan` goes ahead, or the question that decides it.

    Raises:
        Refused: the operator's rules or this client do not allow it.
    """
    current, act = call(), plan.act
    fits = await still_fits(current.app.ledger, plan)
    if (beforehand := await _beforehand(current, plan, fits=fits)) is not None:
        return beforehand
    reasons = [reason for step in plan.open_steps if (reason := act.must_ask(step.record))]
    decision = decide(
        act.effect, len(plan.steps), policy(ctx, current), gives_away=act.gives_away, must_ask=bool(reasons)
    )
    current.decided(type(decision).__name__.lower(), decision.basis)
    match decision:
        case Refuse(why):
            telemetry.confirmation(plan.act.tool, "refused")
            raise Refused(" ".join([*reasons[:1], why]))
        case _ if fits:
            return _confirmed(current, plan)
        case Allow():
            return Go(plan)
        case Ask() if not plan.open_steps:
            return Go(plan)  # nothing would be written
        case Ask(two_steps=True):
            current.outcome = "confirmation_required"
            telemetry.confirmation(plan.act.tool, "preview")
            return Stop(await _preview(current, plan))
        case Ask() if is_asking_era(ctx):
            current.outcome = "asked"  # or answered already, as the SDK finds: what leaves is counted in `measured`
            return Elicit(question(plan), act.form)
    return await _push(plan, ctx)


async def _beforehand(current: Call, plan: Plan, *, fits: bool) -> Verdict | None:
    """What is plain before there is anything to decide."""
    if not current.caller.may_write:
        current.decided("refuse", "scope")
        raise Refused("This token may only read; writing needs the scope leads:write. Nothing was changed.")
    if all(step.repeats for step in plan.steps):
        current.decided("allow", "repetition")
        return Go(plan)  # what was done a moment ago is told again, whatever holds by now
    if plan.act.draft:
        current.decided("allow", "draft")
        current.outcome = "draft"
        return Stop(_draft(plan))
    if fits and await _fresh(plan, current.app.ledger) == 0:
        return _confirmed(current, plan)  # what was done under this code is told again, whatever holds by now
    if plan.open_steps and not fits:  # of a batch, what was done under its code is told all the same
        await _refuse_if_halted(current)
    return None


def _confirmed(current: Call, plan: Plan) -> Go:
    current.decided("confirmed", "code")
    telemetry.confirmation(plan.act.tool, "confirmed")
    return Go(plan)


async def _refuse_if_halted(current: Call) -> None:
    # Checked again right before a request leaves (`tickets`); here, so that nobody is asked in vain.
    if current.app.stopping:
        current.decided("refuse", "stopping")
        raise Refused(STOPPING)
    if await current.app.ledger.paused():
        current.decided("refuse", "paused")
        raise Refused(PAUSED)


async def carry_out(ctx: Ctx, plan: Plan, answer: Answer) -> WriteResult:
    """The end of every write tool: what a person's answer or our verdict leads to."""
    match answer:
        case AcceptedElicitation(data=Stop(result)):
            return result
        case AcceptedElicitation(data=Go(decided)):
            return await _execute(ctx, decided)
        case AcceptedElicitation(data=Approval() as given) if approves(plan, given):
            call().decided("accepted", "answer")
            telemetry.confirmation(plan.act.tool, "accepted")
            return await _execute(ctx, plan)
        case AcceptedElicitation(data=Approval(ok=True)):
            return _declined(plan, WRONG_NAME)
    return _declined(plan)


def policy(ctx: Ctx, current: Call) -> Policy:
    """What the operator allows here and what this client can do."""
    settings = current.app.settings
    return Policy(current.mode, Effect[settings.ask_from.upper()], settings.questions == "on" and can_ask(ctx))


async def _push(plan: Plan, ctx: Ctx) -> Verdict:
    """Ask over the 2025 era's channel, within a time limit; then read the records again."""
    current = call()
    for _ in range(MOST_QUESTIONS):
        telemetry.confirmation(plan.act.tool, "asked")
        if not await said_yes(plan, ctx):
            return Stop(_declined(plan))
        again = await plan_act(plan.act, [step.lead_id for step in plan.steps], plan.code)
        if again.reference == plan.reference:
            current.decided("accepted", "answer")
            telemetry.confirmation(plan.act.tool, "accepted")
            return Go(again)
        plan = again
    raise Refused("The leads keep changing while they are being asked about. Nothing was changed.")


async def _preview(current: Call, plan: Plan) -> WriteResult:
    code, expires_at = await issue_code(current.app.ledger, plan, current.app.settings.confirmation_ttl)
    return WriteResult(
        status="confirmation_required",
        results=_untouched(plan),
        confirmation=code,
        expires_at=await _when(expires_at),
        preview=preview(plan),
        note="That code does not fit: it was never given for this, has expired, or the lead has changed since. "
        "Nothing was changed."
        if plan.code
        else None,
    )


def _draft(plan: Plan) -> WriteResult:
    return WriteResult(
        status="draft",
        results=_untouched(plan),
        preview=preview(plan),
        note="Checked and not sent: this server only drafts messages (LOFTY_MCP_SENDS=draft).",
    )


def _declined(plan: Plan, why: str = DECLINED) -> WriteResult:
    current = call()
    current.decided("declined", "answer")
    current.outcome = "declined"
    telemetry.confirmation(plan.act.tool, "declined")
    return WriteResult(
        status="declined",
        results=[row.model_copy(update={"after": None}) for row in _untouched(plan)],
        note=why,
    )


async def _execute(ctx: Ctx, plan: Plan) -> WriteResult:
    current = call()
    answered = bool(plan.code or ctx.input_responses)
    app = current.app
    if (wait := app.limits.take_writes(current.caller.name, await _fresh(plan, app.ledger))) > 0:
        later = f"so many are possible again in {wait:.0f} s" if math.isfinite(wait) else "do it in smaller parts"
        raise Refused(f"That is more writes than this account may make in a day; {later}. Nothing was changed.")
    executor = Executor(
        current.crm, app.ledger, app.owner, app.clock, lambda: app.stopping, waiting=app.waiting, spends=answered
    )
    results: list[RowResult] = []
    told_again: list[bool] = []
    stop_at = anyio.current_time() + ALL_WRITES_SECONDS
    for step in plan.steps:
        if anyio.current_time() >= stop_at:
            break
        try:
            result, again = await _seen(executor, plan, step, current)
        except LedgerError:
            if not results:
                raise
            break  # what was done is told; the rest was not begun
        results.append(result)
        told_again.append(again)
        await ctx.report_progress(len(results), len(plan.steps))
    results = [row.without_undo_but(current.may) for row in results]
    left = plan.steps[len(results) :]
    status = status_of(results)
    current.outcome = ",".join(sorted({row.outcome for row in results}))
    if not left:
        note = TOLD_AGAIN if all(told_again) else None
        return WriteResult(status=status, results=results, replayed=any(told_again) or None, note=note)
    return await _unfinished(current, plan, results, left)


async def _fresh(plan: Plan, ledger: Ledger) -> int:
    """How many leads would be written to, less those that this code has been used for already."""
    if not plan.confirmed:
        return len(plan.open_steps)
    tickets = [await ledger.ticket(plan.confirmed[step.lead_id]) for step in plan.open_steps]
    return tickets.count(None)


async def _seen(executor: Executor, plan: Plan, step: Step, current: Call) -> tuple[RowResult, bool]:
    if step.lead is None:
        return await executor.run(plan, step)  # of a lead that is not there nothing is told
    current.tickets.append(plan.confirmed.get(step.lead_id, step.ticket_id))
    with telemetry.ticket(plan.act.tool, hashed(step.lead_id, current.app.secret)) as told:
        result, told.replayed = await executor.run(plan, step)
        told.outcome = result.outcome
    return result, told.replayed


async def _unfinished(current: Call, plan: Plan, results: list[RowResult], left: tuple[Step, ...]) -> WriteResult:
    """A batch that ran out of time: what is left keeps its approval under a code."""
    bound = {step.lead_id: plan.confirmed.get(step.lead_id, step.ticket_id) for step in plan.steps}
    rest = [RowResult(lead_id=step.lead_id, outcome="not_applied", note="Not begun yet.") for step in left]
    unfinished = WriteResult(status="partial", results=[*results, *rest], note=f"{len(left)} leads were not begun.")
    try:
        code, expires_at = await issue_code(
            current.app.ledger, plan, current.app.settings.confirmation_ttl, tickets=bound
        )
    except LedgerError:
        return unfinished
    note = f"{unfinished.note} Repeat the same call with this confirmation code to go on."
    return unfinished.model_copy(update={"confirmation": code, "expires_at": await _when(expires_at), "note": note})


def _untouched(plan: Plan) -> list[RowResult]:
    rows = []
    for step in plan.steps:
        if step.lead is None:
            rows.append(RowResult(lead_id=step.lead_id, outcome="not_found"))
            continue
        outcome = "no_change" if plan.act.done(step.record) else "not_applied"
        rows.append(
            RowResult(
                lead_id=step.lead_id,
                outcome=outcome,
                before=plan.act.before(step.record),
                after=plan.act.after(step.record),
            )
        )
    return rows


async def _when(epoch: float) -> str | None:
    return iso(datetime.fromtimestamp(epoch, UTC), await call().account.vocabulary.zone())
