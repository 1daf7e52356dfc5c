"""What hangs on a lead that the gate has let through: its children, and every way to write to it.

Each method takes the record of a lead, which only the gate gives out: nothing of a lead is reached before it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lofty_mcp.client import endpoints, requests
from lofty_mcp.client.client import LoftyClient
from lofty_mcp.client.requests import Hook
from lofty_mcp.errors import NotFound, PermissionDenied, RejectedByLofty
from lofty_mcp.models.leads import LeadRecord
from lofty_mcp.models.people import Member

Row = endpoints.Row
NO_SUCH_MESSAGE = "Not found: this lead has no such message. get_timeline with detail=full names their ids."


@dataclass
class LetThrough:
    """A lead that was let through, by its record; a write's hook runs right before its first byte leaves."""

    client: LoftyClient

    async def put_lead(self, lead: LeadRecord, body: Mapping[str, Any], before: Hook) -> Any:
        """Update the lead."""
        return await self.client.send(requests.put_lead(_id(lead), body), before)

    async def assign_lead(self, lead: LeadRecord, role: str, assignee: Member, before: Hook) -> Any:
        """Assign the lead."""
        return await self.client.send(requests.assign_lead(_id(lead), role, assignee.email or ""), before)

    async def delete_lead(self, lead: LeadRecord, reason: str, before: Hook) -> Any:
        """Put the lead into the trash."""
        return await self.client.send(requests.delete_lead(_id(lead), reason), before)

    async def add_note(self, lead: LeadRecord, content: str, before: Hook, *, pin: bool) -> Any:
        """Add a note."""
        return await self.client.send(requests.add_note(_id(lead), content, pin=pin), before)

    async def put_note(self, lead: LeadRecord, note_id: str, content: str, before: Hook, *, pin: bool) -> Any:
        """Replace a note's text and pin."""
        return await self.client.send(requests.put_note(_id(lead), note_id, content, pin=pin), before)

    async def add_manual_log(
        self, lead: LeadRecord, log_type: requests.LogType, fields: Mapping[str, str], before: Hook
    ) -> Any:
        """Log a call, text or e-mail that was done elsewhere."""
        return await self.client.send(requests.add_manual_log(_id(lead), log_type, fields), before)

    async def add_task(self, lead: LeadRecord, fields: Mapping[str, str], before: Hook) -> Any:
        """Add a task."""
        return await self.client.send(requests.add_task(_id(lead), fields), before)

    async def finish_task(self, task_id: str, before: Hook, *, done: bool) -> Any:
        """Finish or reopen a task that `tasks` has shown on a lead."""
        return await self.client.send(requests.finish_task(task_id, done=done), before)

    async def send_text(self, lead: LeadRecord, number: str, content: str, before: Hook) -> Any:
        """Send a text to one of the lead's numbers."""
        return await self.client.send(requests.send_text(_id(lead), number, content), before)

    async def send_email(self, lead: LeadRecord, address: str, subject: str, content: str, before: Hook) -> Any:
        """Send an e-mail to one of the lead's addresses."""
        return await self.client.send(requests.send_email(_id(lead), address, subject, content), before)

    async def notes(self, lead: LeadRecord) -> list[Row]:
        """All notes of the lead."""
        return _of(lead, await endpoints.notes(self.client, _id(lead)))

    async def tasks(self, lead: LeadRecord) -> list[Row]:
        """All tasks of the lead."""
        return _of(lead, await endpoints.tasks(self.client, _id(lead)))

    async def manual_logs(self, lead: LeadRecord, log_type: requests.LogType) -> list[Row]:
        """The newest manual logs of one type."""
        return _of(lead, await endpoints.manual_logs(self.client, _id(lead), log_type))

    async def site_activities(self, lead: LeadRecord) -> AsyncIterator[list[Row]]:
        """Pages of what the lead did on the site, newest first."""
        async for page in endpoints.site_activities(self.client, _id(lead)):
            yield _of(lead, page)

    async def communications(self, lead: LeadRecord) -> AsyncIterator[list[Row]]:
        """Pages of the lead's calls, texts and e-mails, oldest first."""
        async for page in endpoints.communications(self.client, _id(lead)):
            yield _of(lead, page)

    async def system_logs(self, lead: LeadRecord) -> AsyncIterator[list[Row]]:
        """Pages of the lead's change log, newest first."""
        async for page in endpoints.system_logs(self.client, _id(lead)):
            yield _of(lead, page)

    async def message(self, lead: LeadRecord, kind: Literal["call", "text", "email"], message_id: str) -> Row:
        """A call, text or e-mail of the lead.

        Raises:
            NotFound: there is none with this id, or it is another lead's; the two cannot be told apart.
        """
        try:
            row = await endpoints.message(self.client, kind, message_id)
        except (NotFound, RejectedByLofty):
            raise NotFound(NO_SUCH_MESSAGE) from None
        except PermissionDenied as refusal:
            if refusal.scope:
                raise
            raise NotFound(NO_SUCH_MESSAGE) from None
        if str(row.get("leadId")) != lead.lead_id:
            raise NotFound(NO_SUCH_MESSAGE)
        return row


def _id(lead: LeadRecord) -> str:
    return lead.lead_id or ""


def _of(lead: LeadRecord, rows: Sequence[Row]) -> list[Row]:
    # A list that ignored its leadId would show another lead's life.
    return [row for row in rows if str(row.get("leadId", lead.lead_id)) in (lead.lead_id, "0", "None")]
