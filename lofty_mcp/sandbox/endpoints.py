"""Every method and path the sandbox knows, and who answers it."""

from collections.abc import Callable
from dataclasses import dataclass

from lofty_mcp.sandbox import activities, communications, leads, manual_logs, messages, notes, tasks, team
from lofty_mcp.sandbox.call import Call

# The documented host serves the first, the CRM's own host the second.
TOKEN_PATHS = ("/oauth/token", "/api/user-web/oauth/token")


@dataclass(frozen=True)
class Endpoint:
    """One operation; `typed_read` marks a GET that answers 415 without a Content-Type."""

    method: str
    path: str
    handler: Callable[[Call], object]
    typed_read: bool = False


ENDPOINTS = (
    Endpoint("GET", "/v1.0/me", team.me),
    Endpoint("GET", "/v1.0/members", team.list_members),
    Endpoint("GET", "/v1.0/members/{account}", team.get_member),
    Endpoint("GET", "/v1.0/org", team.org),
    Endpoint("GET", "/v1.0/teamFeatures/listTag", team.list_tags),
    Endpoint("GET", "/v1.0/teamFeatures/lead-pipelines", team.list_pipelines, typed_read=True),
    Endpoint("GET", "/v1.0/teamFeatures/listCustomField", team.list_custom_fields, typed_read=True),
    Endpoint("GET", "/v1.0/team-features/lead-ponds", team.list_ponds, typed_read=True),
    Endpoint("GET", "/v1.0/leads", leads.list_leads),
    Endpoint("GET", "/v1.0/leads/{leadId}", leads.get_lead),
    Endpoint("PUT", "/v1.0/leads/{leadId}", leads.put_lead),
    Endpoint("DELETE", "/v1.0/leads/{leadId}", leads.delete_lead),
    Endpoint("POST", "/v1.0/leads/{leadId}/assignment", leads.assign_lead),
    Endpoint("GET", "/v1.0/leads/{leadId}/activities", activities.site_activities),
    Endpoint("GET", "/v2.0/leads/{leadId}/activities", activities.communications),
    Endpoint("GET", "/v1.0/systemLogs", activities.system_logs),
    Endpoint("GET", "/v1.0/notes", notes.list_notes),
    Endpoint("POST", "/v1.0/notes", notes.add_note),
    Endpoint("GET", "/v1.0/notes/{noteId}", notes.get_note),
    Endpoint("PUT", "/v1.0/notes/{noteId}", notes.put_note),
    Endpoint("DELETE", "/v1.0/notes/{noteId}", notes.delete_note),
    Endpoint("POST", "/v1.0/logType", manual_logs.add_log),
    Endpoint("GET", "/v1.0/logType", manual_logs.list_logs),
    Endpoint("GET", "/v1.0/logType/{logTypeId}", manual_logs.get_log),
    Endpoint("POST", "/v1.0/message/sms/send", messages.send_sms),
    Endpoint("POST", "/v1.0/message/email/send", messages.send_email),
    Endpoint("GET", "/v2.0/communication/call/{communicationId}", communications.get_call),
    Endpoint("GET", "/v2.0/communication/email/{communicationId}", communications.get_email),
    Endpoint("GET", "/v2.0/communication/text/{communicationId}", communications.get_text),
    Endpoint("GET", "/v2.0/tasks", tasks.list_tasks),
    Endpoint("POST", "/v2.0/tasks", tasks.add_task),
    Endpoint("GET", "/v2.0/tasks/{taskId}", tasks.get_task),
    Endpoint("POST", "/v2.0/tasks/{taskId}/finish", tasks.finish_task),
    Endpoint("POST", "/v2.0/tasks/{taskId}/unfinish", tasks.unfinish_task),
)
