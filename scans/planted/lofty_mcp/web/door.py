"""What must be found where callers come in, and what holds anywhere."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OneToken:
    # ruleid: secrets-do-not-show
    token: str
    # ruleid: secrets-do-not-show
    refresh_token: str | None = None
    access_token: str = field(repr=False)
    client_secret: str | None = field(default=None, repr=False)
    token_url: str = ""

    def fits(self, token):
        # ruleid: secrets-are-compared-in-constant-time
        return self.token == token

    def safely_fits(self, token):
        return hmac.compare_digest(self.token, token)


def tell(name, lead, count):
    # ruleid: log-lines-are-fixed-words
    log.warning(f"{name} was refused")
    # ruleid: log-lines-are-fixed-words
    log.info("%s was refused", name)
    # ruleid: log-lines-are-fixed-words
    log.error(name, extra={"count": count})
    # ruleid: nobody-is-named-in-the-log
    log.info("a lead was read", extra={"count": count, "outcome": lead.email})
    log.info("leads were read", extra={"count": count})
    log.error("a tool crashed", extra={"tool": self.name}, exc_info=cause or error)


def trace(span, error, lead_id):
    # ruleid: spans-are-made-in-telemetry
    span.set_attribute("lead", lead_id)
    # ruleid: spans-are-made-in-telemetry
    span.record_exception(error)


def keep(db, path, lead_id, token):
    # ruleid: values-are-bound-in-sql
    db.execute(f"DELETE FROM tickets WHERE lead = {lead_id}")
    # ruleid: values-are-bound-in-sql
    db.execute("DELETE FROM tickets WHERE lead = %s" % lead_id)
    # ruleid: values-are-bound-in-sql
    db.executescript("DELETE FROM tickets WHERE lead = " + lead_id)
    db.execute("DELETE FROM tickets WHERE lead = ?", (lead_id,))
    db.execute(f"SELECT {COLUMNS} FROM tickets WHERE lead = ?", (lead_id,))
    # ruleid: files-are-their-owners-only
    path.write_text(token)
    # ruleid: files-are-their-owners-only
    with open(path, "w") as file:
        file.write(token)
    # ruleid: files-are-their-owners-only
    with path.open("ab") as file:
        file.write(token)
    return path.open("rb")
