"""What must be found where decisions are made. Nothing runs this; scripts/scan compares it with what is found."""


# ruleid: no-verdict-outlives-its-call
@functools.cache
def visible(lead_id):
    return True


@cache
def zones():
    return {}


class Act:
    # ruleid: no-verdict-outlives-its-call
    @lru_cache(maxsize=100)
    async def viewer(self):
        return True

    # ruleid: no-verdict-outlives-its-call
    @functools.cached_property
    def shown(self):
        return True


async def past_the_gate(client, lead_id, body, before):
    # ruleid: the-gate-alone-writes
    await endpoints.put_lead(client, lead_id, body, before)
    # ruleid: the-gate-alone-writes, a-write-is-marked-before-it-leaves
    await endpoints.send_text(client, lead_id, body)
    return await endpoints.lead(client, lead_id)


async def past_the_ledger(act, plan, crm, lead, before):
    # ruleid: the-executor-alone-carries-out
    await act.write(crm, lead, before)
    # ruleid: the-executor-alone-carries-out
    await plan.act.write(crm, lead, before)
    file.write(crm)


def at_its_own_time(now):
    # ruleid: clocks-are-arguments
    late = time.time() > now
    # ruleid: clocks-are-arguments
    today = datetime.now(UTC)
    return late, today, self.clock()


async def asked_here(ctx, approval):
    # ruleid: questions-are-asked-in-one-place
    await ctx.elicit("Delete?", approval)
    # ruleid: questions-are-asked-in-one-place
    return Elicit("Delete?", approval)
