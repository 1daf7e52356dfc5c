"""A batch of writes tells how far it is, lead by lead, to a client that wants to know."""

import pytest

from tests.support.world import ERAS, Bench, data


@pytest.mark.parametrize("era", ERAS)
async def test_a_batch_tells_each_lead_that_is_done_as_progress(bench: Bench, era: str) -> None:
    leads = bench.visible_leads(3)
    told: list[tuple[float, float | None]] = []

    async def seen(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total))

    async with bench.client(era=era) as client:
        result = await client.call_tool("add_tag", {"lead_ids": leads, "tags": ["Buyer"]}, progress_callback=seen)

    assert [row["lead_id"] for row in data(result)["results"]] == leads
    assert told == [(1, 3), (2, 3), (3, 3)]
