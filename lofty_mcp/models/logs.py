"""What was logged by hand: calls, texts and e-mails done elsewhere."""

from lofty_mcp.models.base import Id, Line, Moment, Prose, Upstream


class ManualLog(Upstream):
    """A row of `GET /v1.0/logType` (`LogTypeResponse`)."""

    id: Id | None = None
    content: Prose | None = None
    create_time: Moment | None = None
    outbound_or_inbound: Line | None = None
    calling_outcome: Line | None = None
    email_subject: Line | None = None
    lead_phone_number: Line | None = None
