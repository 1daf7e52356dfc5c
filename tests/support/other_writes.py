"""What the second imitation of Lofty does with notes, logs, tasks and messages.

Like the rest of it, written from the reference and not from the sandbox.
"""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.support.other_papers import BIG, NOW, Paper, Papers, Row, Serve

CHANNELS = {"logCall": "Call", "logText": "Text", "logEmail": "Email"}
OUTCOMES = {"Talked", "VoiceMessage", "NoAnswer", "BadNumber", "DNCNumber", "DNCContact"}


class Desk(Papers):
    """Everything that was written beside the leads of one account."""

    def routes(self) -> tuple[tuple[str, str, Serve], ...]:
        """Its part of the account's table."""
        note, log, task = "/v1.0/notes/{id:int}", "/v1.0/logType/{id:int}", "/v2.0/tasks/{id:int}"
        return (
            ("POST", "/v1.0/notes", self._new_note),
            ("GET", note, self._one("note", "note", self._note)),
            ("PUT", note, self._put_note),
            ("DELETE", note, self._delete_note),
            ("POST", "/v1.0/logType", self._new_log),
            ("GET", "/v1.0/logType", self._list_logs),
            ("GET", log, self._one("log", "logType", self._log)),
            ("POST", "/v2.0/tasks", self._new_task),
            ("GET", task, self._one("task", "task", self._task)),
            ("POST", f"{task}/finish", self._finish),
            ("POST", f"{task}/unfinish", self._finish),
            ("POST", "/v1.0/message/sms/send", self._send_sms),
            ("POST", "/v1.0/message/email/send", self._send_email),
            ("GET", "/v2.0/communication/{channel}/{id:int}", self._communication),
        )

    @property
    def sent(self) -> list[Row]:
        """The messages that went out, each with `kind`, `leadId`, `to` and what was said."""
        return [paper.body for paper in self.papers.values() if paper.kind == "sent"]

    def plan_task(self, lead_id: str) -> int:
        """Put a task of a smart plan on a lead."""
        body = {"leadId": lead_id, "type": "Text", "content": "planned.", "endAt": NOW.isoformat()}
        paper = self._lay("task", 0, body, late=0)
        paper.plan = True
        return paper.number

    def notes(self, lead_id: str) -> list[Row]:
        """The notes that a list tells of."""
        return [self._note(paper) for paper in self._told("note", lead_id)]

    def tasks(self, lead_id: str) -> list[Row]:
        """The tasks that a list tells of, the newest first."""
        return [self._task(paper) for paper in self._told("task", lead_id)][::-1]

    def talk(self, lead_id: str) -> list[Row]:
        """The communications that a list tells of, the oldest first."""
        kinds = ("log", "sent") if self.lofty.manner.sends_told else ("log",)
        papers = [paper for kind in kinds for paper in self._told(kind, lead_id)]
        return [self._talked(paper) for paper in sorted(papers, key=lambda paper: paper.at)]

    # Notes

    def _new_note(self, request: Request, body: Row) -> Response:
        text = body.get("content")
        if not text:
            return self.lofty.error(400, 20012)
        return self._create(request, "note", body | {"content": text.strip()[:2000]}, "noteId")

    def _put_note(self, request: Request, body: Row) -> Response:
        paper = self._find(request, "note")
        if isinstance(paper, Response):
            return paper
        if not {"content", "isPin"} <= body.keys() or str(body.get("leadId", paper.lead_id)) != paper.lead_id:
            return self.lofty.error(400, 20012)
        new = {"content": body["content"].strip()[:2000], "isPin": body["isPin"]}
        return self.lofty.carried_out(lambda: paper.body.update(new), "noteId", paper.number)

    def _delete_note(self, request: Request, _: Any) -> Response:
        paper = self._find(request, "note")
        if isinstance(paper, Response):
            return paper
        return self.lofty.carried_out(lambda: self.papers.pop(paper.number), "noteId", paper.number)

    def _note(self, paper: Paper) -> Row:
        row: Row = {"noteId": self.lofty.number(paper.number), "id": self.lofty.number(BIG + paper.number)}
        row |= {"content": self._said("note", paper.body["content"]), "isPin": paper.body.get("isPin", False)}
        row |= {"creatorId": self.lofty.number(paper.author), "leadId": self.lofty.number(int(paper.lead_id))}
        return row | {"createTime": paper.at.strftime("%Y-%m-%d %H:%M:%S"), "deleteFlag": None}

    # Logs by hand

    def _new_log(self, request: Request, body: Row) -> Response:
        number = body.get("leadPhoneNumber", "")
        if body.get("logType") not in CHANNELS or not body.get("content"):
            return self.lofty.error(400, 20012)
        if body["logType"] == "logCall" and not number:
            return self.lofty.error(400, 20012)
        if len(number) > 20:
            return self.lofty.error(400, 20043)
        outcome = body["callingOutcome"] if body.get("callingOutcome") in OUTCOMES else "Talked"
        kept = body | {"content": body["content"][:5000], "callingOutcome": outcome}
        return self._create(request, "log", kept, "logType")

    def _list_logs(self, request: Request, _: Any) -> Any:
        query = request.query_params
        if (refusal := self.lofty.refusal(request, query.get("leadId", ""))) is not None:
            return refusal
        if query.get("logType") not in CHANNELS:
            return self.lofty.error(400, 20012)
        rows = [self._log(p) for p in self._told("log", query["leadId"]) if p.body["logType"] == query["logType"]]
        if query.get("order") == "desc" or not self.lofty.manner.ordered:
            rows.reverse()
        start = int(query.get("offset", 0))
        return {"logType": rows[start : start + int(query.get("limit", 10))]}

    def _log(self, paper: Paper) -> Row:
        row: Row = {"id": self.lofty.number(paper.number), "leadId": self.lofty.number(int(paper.lead_id))}
        row |= {"content": self._said("log", paper.body["content"]), "agentId": self.lofty.number(paper.author)}
        row |= {"createTime": paper.at.strftime("%Y-%m-%d %H:%M:%S"), "isPin": paper.body.get("isPin")}
        row |= {"outboundOrInbound": paper.body.get("outboundOrInbound", "outbound")}
        if paper.body["logType"] == "logCall":
            row |= {"callingOutcome": paper.body["callingOutcome"], "leadPhoneNumber": paper.body["leadPhoneNumber"]}
        return row

    # Tasks

    def _new_task(self, request: Request, body: Row) -> Response:
        try:
            ends = datetime.fromisoformat(body["endAt"])
        except (KeyError, ValueError):
            return self.lofty.error(400, 20012)
        known = body.get("type") in {"Other", "Call", "Email", "Text", "Appointment"}
        if not known or not body.get("content") or body.get("assignedRole") not in {"Agent", "Assistant"}:
            return self.lofty.error(400, 20012)
        # It tells times in UTC with a Z, whatever zone they were given in.
        ends = ends if ends.tzinfo else ends.replace(tzinfo=UTC)
        kept = body | {"content": body["content"].strip(), "endAt": ends.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        return self._create(request, "task", kept, "taskId")

    def _finish(self, request: Request, _: Any) -> Response:
        paper = self._find(request, "task")
        if isinstance(paper, Response):
            return paper
        finished = request.url.path.endswith("/finish")
        if finished and paper.plan:
            return JSONResponse({"message": "TASK_IS_SMARTPLAN"}, 400)

        def mark() -> None:
            paper.finished = finished

        return self.lofty.carried_out(mark, "message", paper.number)

    def _task(self, paper: Paper) -> Row:
        row: Row = {"id": self.lofty.number(paper.number), "type": paper.body["type"], "endAt": paper.body["endAt"]}
        row |= {"content": self._said("task", paper.body["content"]), "finishFlag": paper.finished}
        row |= {"leadId": self.lofty.number(int(paper.lead_id)), "assignedRole": paper.body.get("assignedRole")}
        if self.lofty.manner.finish == "flag and time":
            row |= {"finishTime": NOW.isoformat() if paper.finished else None}
        return row | {"createTime": paper.at.isoformat(), "creatorId": self.lofty.number(paper.author)}

    # Messages

    def _send_sms(self, request: Request, body: Row) -> Response:
        return self._send(request, body, "Text", ("phoneNumber", "phones", "cannotText"))

    def _send_email(self, request: Request, body: Row) -> Response:
        if not body.get("subject"):
            return self.lofty.error(400, 20012)
        return self._send(request, body, "Email", ("toEmail", "emails", "cannotEmail"))

    def _send(self, request: Request, body: Row, channel: str, names: tuple[str, str, str]) -> Response:
        asked, own, flag = names
        record = self.lofty.leads.get(str(body.get("leadId")), {})
        if not body.get("content") or (record and not record[own]):
            return self.lofty.error(400, 20012)
        if record.get(flag) and self.lofty.manner.honours_flags:
            return self.lofty.error(400, 20017)
        addresses = record.get(own, [""])
        to = body[asked] if body.get(asked) in addresses else addresses[0]
        return self._create(request, "sent", body | {"channel": channel, "to": to}, "messageId")

    def _talked(self, paper: Paper) -> Row:
        logged = paper.kind == "log"
        channel = CHANNELS[paper.body["logType"]] if logged else paper.body["channel"]
        inbound = paper.body.get("outboundOrInbound") == "inbound"
        row: Row = {"id": self.lofty.number(paper.number), "leadId": self.lofty.number(int(paper.lead_id))}
        row |= {"activityTime": paper.at.isoformat(), "channel": channel, "agentId": self.lofty.number(paper.author)}
        row |= {"direction": "Inbound" if inbound else "Outbound"}
        row |= {"communicationType": "Logged" if logged else "Manual"}
        if channel == "Email":
            row |= {"emailSubject": paper.body.get("subject", paper.body.get("emailSubject")), "emailEventType": "Sent"}
        if logged or channel == "Text":
            row |= {"note": self._said("log" if logged else "text", paper.body["content"])}
        return row

    def _communication(self, request: Request, _: Any) -> Any:
        paper = self.papers.get(request.path_params["id"])
        if paper is None or paper.kind not in {"log", "sent"} or self.lofty.refusal(request, paper.lead_id):
            return self.lofty.error(400, 20017)
        told = self._talked(paper)
        if told["channel"].lower() != request.path_params["channel"] or not self._is_told(paper):
            return self.lofty.error(400, 20017)
        row = {name: told[name] for name in ("id", "leadId", "agentId", "direction")}
        match told["channel"]:
            case "Text":
                row |= {"textContent": told["note"], "textTime": told["activityTime"], "textType": None}
            case "Email":
                row |= {"emailSubject": told["emailSubject"], "eventType": "Sent", "fromPond": False}
            case _:
                row |= {"note": told["note"], "callingOutcome": paper.body["callingOutcome"], "duration": 61}
        return {"data": row} if self.lofty.manner.reply == "wrapped" else row
