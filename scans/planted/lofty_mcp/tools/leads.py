"""What must be found where tools are."""


async def get_lead(ctx, lead_id):
    crm = call().crm
    record = await crm.lead(lead_id)
    # ruleid: tools-write-inside-an-act
    await crm.put_lead(record, {"stage": "Sold"}, before)
    # ruleid: records-leave-as-views
    whole = record.model_dump(mode="json")
    # ruleid: records-leave-as-views
    text = record.model_dump_json()
    # ruleid: records-leave-as-views
    return vars(record) or record.__dict__


async def plan_stage(lead_ids, stage):
    async def write(crm, lead, before):
        return await crm.put_lead(lead, {"stage": stage}, before)

    return Act(write=write)
