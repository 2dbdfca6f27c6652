"""A server of the operator's own may take larger messages than a pull of ours was for: such a one is a refusal, and holds nobody up."""

from pathlib import Path

from nats.aio.client import Client

from tests.integration.fronts import environment, new_key
from tests.integration.nats_source.conftest import connected, event, served
from tests.integration.services import Service, serving
from tests.servers import PREPARE, LocalServer
from tests.waiting import eventually

LARGEST = 20 * 1024 * 1024


async def test_what_came_after_is_taken_when_a_message_is_larger_than_a_pull(
    tmp_path: Path, redis_url: str, database: str, org: str
) -> None:
    """The server ended each pull with nothing, for good: nothing of the org came any more. And no reject has room for it whole."""
    server = LocalServer(PREPARE["nats"], tmp_path)
    configuration = tmp_path / "nats" / "nats.conf"
    configuration.write_text(configuration.read_text().replace("max_payload: 4MB", f"max_payload: {LARGEST}"))
    server.start()
    try:
        await new_key(database, org)
        with serving(Service("nats_source", environment(tmp_path, redis_url, server.url, database), tmp_path)):
            async with connected(server.url, org) as agent:
                await served(agent)
                assert agent.client.max_payload == LARGEST
                for payload in (b" " * (LARGEST - 64), event("after")):
                    await agent.submit("orders", payload)
                await eventually(lambda: emptied(agent.client, org))
                jetstream = agent.client.jetstream()
                assert (await jetstream.stream_info(f"sb-{org}")).state.messages == 1
                rejected = await jetstream.get_last_msg(f"sb-rejected-{org}", f"sb._rejected.{org}")
                assert rejected.headers is not None
                assert rejected.headers["sb-cut"] == "true"
    finally:
        server.stop()


async def emptied(client: Client, org: str) -> bool:
    """Whether everything submitted has its outcome."""
    return (await client.jetstream().stream_info(f"sb-submit-{org}")).state.messages == 0
