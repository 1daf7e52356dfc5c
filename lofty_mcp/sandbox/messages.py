"""Texts and e-mails sent to a lead (`/v1.0/message/...`).

Whoever asked not to be contacted is written to all the same: nothing says that Lofty would refuse. A number or address
that is not the lead's own is replaced by its first one. The `messageId` of the reply is no id that any path takes.
"""

import json
from typing import Any

from lofty_mcp.sandbox.call import Call, as_number, as_object, as_text
from lofty_mcp.sandbox.leads import find_or_deny
from lofty_mcp.sandbox.refusals import invalid
from lofty_mcp.sandbox.world import Message


def send_sms(call: Call) -> object:
    """`{"messageId", "phoneNumber", "phoneCode"}`."""
    body = as_object(call.body)
    content = _filled(body, "content")
    lead_id, number = _recipient(call, body, "phones", "phoneNumber")
    message_id = _send(call, Message("sms", lead_id, call.member.user_id, number, "", content))
    return {"messageId": message_id, "phoneNumber": number, "phoneCode": as_text(body.get("phoneCode", "1"))}


def send_email(call: Call) -> object:
    """`{"messageId", "toEmail", "subject"}`."""
    body = as_object(call.body)
    subject, content = _filled(body, "subject"), _filled(body, "content")
    lead_id, address = _recipient(call, body, "emails", "toEmail")
    message_id = _send(call, Message("email", lead_id, call.member.user_id, address, subject, content))
    return {"messageId": message_id, "toEmail": address, "subject": subject}


def _filled(body: dict[str, Any], name: str) -> str:
    value = as_text(body.get(name))
    if not value.strip():
        raise invalid()
    return value


def _recipient(call: Call, body: dict[str, Any], known: str, asked: str) -> tuple[int, str]:
    row = find_or_deny(call, as_number(body.get("leadId")))
    own: list[str] = json.loads(row["data"])[known]
    if not own:
        raise invalid()
    wanted = as_text(body.get(asked, ""))
    return row["leadId"], wanted if wanted in own else own[0]


def _send(call: Call, message: Message) -> str:
    """Deliver it: into the hands of tests, and into the lead's communications."""
    call.world.messages.append(message)
    kind: dict[str, Any] = (
        {"channel": "Text", "leadPhoneNumber": message.to, "note": message.content}
        if message.kind == "sms"
        else {"channel": "Email", "emailEventType": "Sent", "emailSubject": message.subject, "toEmail": message.to}
    )
    number = call.world.add_communication(message.lead_id, agentId=message.sender_id, direction="Outbound", **kind)
    call.world.written("communication", number)
    return f"{message.kind}-{len(call.world.messages):08d}"
