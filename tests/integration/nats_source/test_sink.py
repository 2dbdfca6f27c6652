"""With K_SINK the source is a pure event source: what it takes goes to the sink, here ingest, under its proof."""

from pathlib import Path

import httpx

from tests.integration.fronts import environment, new_key
from tests.integration.nats_source.conftest import connected, event, served
from tests.integration.services import Service, serving
from tests.nats_streams import read_stream
from tests.waiting import eventually


async def test_events_go_to_the_sink_and_wait_for_it_when_it_is_away(
    tmp_path: Path, redis_url: str, nats_url: str, database: str, org: str
) -> None:
    settings = environment(tmp_path, redis_url, nats_url, database)
    await new_key(database, org)
    sink = Service("ingest", settings, tmp_path)
    source = Service("nats_source", {**settings, "K_SINK": f"{sink.url}/v1/events"}, tmp_path)
    with serving(sink, source):
        async with connected(nats_url, org) as agent, httpx.AsyncClient(base_url=source.url) as client:
            await served(agent)
            jetstream = agent.client.jetstream()

            async def empty() -> bool:
                return (await jetstream.stream_info(f"sb-submit-{org}")).state.messages == 0

            async def in_hand() -> bool:
                return "switchboard_nats_source_in_hand 1.0" in (await client.get("/metrics")).text

            assert (await agent.ask("orders", event("1")))["status"] == "received"
            await agent.submit("orders", event("2"))
            await agent.submit("orders", b"no event")
            await eventually(empty, 20)
            assert len(await read_stream(nats_url, org)) == 2
            assert (await jetstream.stream_info(f"sb-rejected-{org}")).state.messages == 1
            sink.stop()
            await agent.submit("orders", event("3"))
            await eventually(in_hand, 20)
            assert not await empty()
            sink.start()
            await eventually(empty, 30)
            assert len(await read_stream(nats_url, org)) == 3
