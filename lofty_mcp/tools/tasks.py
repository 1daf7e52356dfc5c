"""Tasks on a lead."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Resolve
from pydantic import Field

from lofty_mcp.app import Ctx, call
from lofty_mcp.client.requests import TASK_LIMIT, Hook
from lofty_mcp.errors import InvalidInput
from lofty_mcp.guard.confirm import Answer, asker, carry_out, in_time, plan_act
from lofty_mcp.guard.effects import Effect
from lofty_mcp.guard.gate import VisibleCrm
from lofty_mcp.guard.plans import Act, Plan
from lofty_mcp.models.base import LAST_YEAR, iso
from lofty_mcp.models.clean import clean, line
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.results import WriteResult
from lofty_mcp.models.timeline import Task
from lofty_mcp.tools.params import AllowDuplicate, Body, ChildId, Confirmation, LeadId, Text, point_in_time, undoing
from lofty_mcp.tools.spec import ToolSpec
from lofty_mcp.tools.texts import plain_text

TaskKind = Literal["Call", "Text", "Email", "Other"]
TaskRole = Literal["Agent", "Assistant"]


@dataclass(frozen=True)
class LeadTasks:
    """A lead with its tasks."""

    lead: LeadRecord
    tasks: list[Task]

    def like(self, kind: str, content: str, due: datetime) -> list[str]:
        """The ids of the tasks of this kind, with this text and due at this moment."""
        wanted = (kind, clean(content), due)
        return [task.id for task in self.tasks if task.id and (task.type, task.content, task.end_at) == wanted]


@dataclass(frozen=True)
class OneTask:
    """A lead and a task on it."""

    lead: LeadRecord
    task: Task


async def with_tasks(crm: VisibleCrm, lead: LeadRecord) -> LeadTasks:
    """The lead with its tasks, as Lofty shows them."""
    return LeadTasks(lead, [Task.model_validate(row) for row in await crm.tasks(lead)])


def with_task(task_id: str) -> Callable[[VisibleCrm, LeadRecord], Awaitable[OneTask]]:
    """A reader of the lead with this one task."""

    async def read(crm: VisibleCrm, lead: LeadRecord) -> OneTask:
        task = next((task for task in (await with_tasks(crm, lead)).tasks if task.id == task_id), None)
        if task is None:
            raise InvalidInput(
                f"This lead has no task {task_id}; get_timeline with kinds=task lists them. Nothing was changed."
            )
        return OneTask(lead, task)

    return read


@in_time
async def plan_task(
    lead_id: str,
    text: str,
    due: str,
    kind: TaskKind,
    assigned_role: TaskRole,
    allow_duplicate: bool,
    confirmation: str | None,
) -> Plan:
    """A new task, planned on those that are there."""
    content = plain_text(text, "text", TASK_LIMIT)
    when = await _due(due)
    zone = await call().account.vocabulary.zone()
    fields = {"content": content, "type": kind, "assignedRole": assigned_role, "timeZoneCode": str(zone)}
    fields["endAt"] = iso(when, zone) or ""

    async def write(crm: VisibleCrm, record: LeadTasks, before: Hook) -> Any:
        return await crm.add_task(record.lead, fields, before)

    shown = {"kind": kind, "text": clean(content), "due": fields["endAt"], "for": assigned_role}
    act = Act[LeadTasks](
        tool="create_task",
        effect=Effect.ADD,
        arguments=shown,
        title="Add a task?",
        read=with_tasks,
        before=lambda _: {},
        after=lambda _: shown,
        done=lambda _: False,
        write=write,
        trace=lambda record: record.like(kind, content, when),
        shows=lambda trace, now: bool(set(now.like(kind, content, when)) - set(trace)),
        told=lambda trace, now: {
            "task_id": max(set(now.like(kind, content, when)) - set(trace), key=int),
            **shown,
        },
        once=True,
        again=allow_duplicate,
    )
    return await plan_act(act, [lead_id], confirmation)


TaskPlan = Annotated[Plan, Resolve(plan_task)]
TaskAnswer = Annotated[Answer, Resolve(asker(plan_task))]


async def create_task(
    ctx: Ctx,
    plan: TaskPlan,
    answer: TaskAnswer,
    lead_id: LeadId,
    text: Body,
    due: Annotated[Text, Field(description="ISO 8601 date or time, in the future")],
    kind: TaskKind = "Other",
    assigned_role: TaskRole = "Agent",
    allow_duplicate: AllowDuplicate = False,
    confirmation: Confirmation = None,
) -> WriteResult:
    """Add a task on a lead for its agent or assistant.

    The same task again within two minutes is taken for a repetition.
    """
    return await carry_out(ctx, plan, answer)


@in_time
async def plan_completion(lead_id: str, task_id: str, done: bool, confirmation: str | None) -> Plan:
    """A task finished or reopened, planned on the task as it is now."""

    async def write(crm: VisibleCrm, record: OneTask, before: Hook) -> Any:
        return await crm.finish_task(task_id, before, done=done)

    act = Act[OneTask](
        tool="complete_task",
        effect=Effect.ADD,
        arguments={"task_id": task_id, "done": done},
        title=f"Mark task {task_id} as {'done' if done else 'open'}?",
        read=with_task(task_id),
        before=lambda record: {"task": record.task.content, "finished": bool(record.task.finish_flag)},
        after=lambda _: {"finished": done},
        done=lambda record: bool(record.task.finish_flag) is done,
        write=write,
        consequence=lambda record: f"It says: {line(record.task.content or '')}",
        undo=lambda lead_id, *_: undoing("complete_task", lead_id=lead_id, task_id=task_id, done=not done),
    )
    return await plan_act(act, [lead_id], confirmation)


CompletionPlan = Annotated[Plan, Resolve(plan_completion)]
CompletionAnswer = Annotated[Answer, Resolve(asker(plan_completion))]


async def complete_task(
    ctx: Ctx,
    plan: CompletionPlan,
    answer: CompletionAnswer,
    lead_id: LeadId,
    task_id: ChildId,
    done: Annotated[bool, Field(description="false reopens it")] = True,
    confirmation: Confirmation = None,
) -> WriteResult:
    """Mark a lead's task as done. task_id is in get_timeline."""
    return await carry_out(ctx, plan, answer)


async def _due(text: str) -> datetime:
    when = point_in_time(text, await call().account.vocabulary.zone(), "due", whole_day=True)
    assert when is not None  # nosec B101 # noqa: S101 - only without a text
    if when.timestamp() <= call().app.clock():
        raise InvalidInput(f"due: {text!r} lies in the past. Nothing was changed.")
    if when.year >= LAST_YEAR:
        raise InvalidInput(f"due: give a year before {LAST_YEAR}. Nothing was changed.")
    return when.astimezone(UTC).replace(microsecond=0)


TOOLS = (
    ToolSpec(create_task, Effect.ADD, "Create task"),
    ToolSpec(complete_task, Effect.ADD, "Complete task"),
)
