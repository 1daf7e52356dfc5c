"""The second imitation's keeping of what was written: an edited lead, and the papers that hang on leads."""

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from tests.support.other_lofty import OtherLofty

Row = dict[str, Any]
Serve = Callable[[Request, Any], Any]
NOW = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
BIG = 2**53 + 1
"""The first id that a JavaScript host rounds."""
LISTS = {"emails": "emails", "phones": "phones", "segments": "segments", "leadTypes": "leadTypes"}
PLAIN = {"firstName", "lastName", "stage", "birthday", "source", "referredBy", "language"}
PLAIN |= {"buyingTimeFrame", "preQual", "houseToSell", "fthb", "withBuyerAgent", "sellingTimeFrame", "mortgage"}
PLAIN |= {"buyHouse", "withListingAgent", "cannotText", "cannotCall", "cannotEmail", "unsubscription"}


def edit(record: Row, body: Row, arrays: str) -> None:
    """Do to a lead what a PUT asks for; what is not known is passed over."""
    record.update({name: value for name, value in body.items() if name in PLAIN})
    for name in LISTS.keys() & body.keys():
        kept = record.get(name, []) if arrays == "merge" else []
        record[name] = list(dict.fromkeys([*kept, *body[name]]))
    if "inquiry" in body:
        kept = record.get("leadInquiry") or {} if arrays == "merge" else {}
        record["leadInquiry"] = kept | body["inquiry"]
    tags = [] if body.get("clearAllTags") or "tags" in body else list(record["tags"])
    if not body.get("clearAllTags"):
        tags += [*body.get("tags", []), *body.get("tagsAdd", [])]
    gone = set(body.get("tagsRemove", []))
    record["tags"] = [tag for tag in tags if (tag["tagName"] if isinstance(tag, dict) else tag) not in gone]


@dataclass
class Paper:
    """One thing on the desk: a `note`, `log`, `task` or `sent` message of a lead."""

    kind: str
    number: int
    lead_id: str
    author: int
    body: Row
    at: datetime
    unread: int
    """Reads that are not told of it yet."""
    finished: bool = False
    plan: bool = False


@dataclass
class Papers:
    """All papers of one account: laid down, told of (late, if it is that kind of account), found."""

    lofty: "OtherLofty"
    papers: dict[int, Paper] = field(default_factory=dict)
    laid: int = 0
    """How many there ever were."""

    def _told(self, kind: str, lead_id: str) -> Iterator[Paper]:
        for paper in self.papers.values():
            if (paper.kind, paper.lead_id) == (kind, lead_id) and self._is_told(paper):
                yield paper

    def _is_told(self, paper: Paper) -> bool:
        paper.unread -= 1
        return paper.unread < 0

    def _lay(self, kind: str, author: int, body: Row, late: int | None = None) -> Paper:
        unread = self.lofty.manner.late if late is None else late
        at = NOW + timedelta(seconds=self.laid)
        paper = Paper(kind, self._upcoming(kind), str(body["leadId"]), author, body, at, unread)
        self.papers[paper.number] = paper
        self.laid += 1
        return paper

    def _upcoming(self, kind: str) -> int:
        # Notes and tasks have short numbers, the rest those of a timeline.
        return {"note": 9_000, "task": 41_000}.get(kind, BIG + 70_000) + self.laid

    def _create(self, request: Request, kind: str, body: Row, name: str) -> Response:
        """Lay down something new unless the caller may not, and answer in the account's manner."""
        if (refusal := self.lofty.refusal(request, str(body.get("leadId")))) is not None:
            return refusal
        caller = self.lofty.caller(request)
        assert caller is not None
        return self.lofty.carried_out(lambda: self._lay(kind, caller.long, body), name, self._upcoming(kind))

    def _find(self, request: Request, kind: str) -> Paper | Response:
        paper = self.papers.get(request.path_params["id"])
        if paper is None or paper.kind != kind or not self._is_told(paper):
            return self.lofty.error(404, 20007)
        return self.lofty.refusal(request, paper.lead_id) or paper

    def _one(self, kind: str, name: str, view: Callable[[Paper], Row]) -> Serve:
        def get(request: Request, _: Any) -> Any:
            paper = self._find(request, kind)
            return paper if isinstance(paper, Response) else {name: view(paper), "took": 2}

        return get

    def _said(self, kind: str, text: str) -> str:
        return html.escape(text) if kind in self.lofty.manner.escaped else text
