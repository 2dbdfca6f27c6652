"""What connection.py takes for granted of nats-py's insides: a new version that differs fails here, not in production."""

import inspect
import re
from importlib.metadata import version

from nats.aio.client import Client
from nats.protocol.parser import AWAITING_CONTROL_LINE


def test_nats_py_is_the_version_that_was_read_when_connection_was_written() -> None:
    assert version("nats-py").startswith("2.16.")


def test_messages_come_through_process_msg_when_the_parser_found_them() -> None:
    assert list(inspect.signature(Client._process_msg).parameters) == ["self", "sid", "subject", "reply", "data", "headers"]
    assert inspect.iscoroutinefunction(Client._process_msg)


def test_what_was_read_goes_to_the_parser_when_the_loop_has_read_it() -> None:
    assert "self._ps.parse(" in inspect.getsource(Client._read_loop)
    assert Client()._ps.nc is not None
    assert (Client()._ps.buf, Client()._ps.state) == (bytearray(), AWAITING_CONTROL_LINE)


def test_every_end_goes_through_close_when_reconnecting_is_off() -> None:
    assert list(inspect.signature(Client._close).parameters) == ["self", "status", "do_cbs"]
    assert "_close(" in inspect.getsource(Client._process_op_err)
    assert "_close(" in inspect.getsource(Client._process_err)


def test_pending_is_a_list_with_its_size_when_a_client_is_new() -> None:
    client = Client()
    assert (client._pending, client._pending_data_size, client._transport) == ([], 0, None)
    assert "self._transport.writelines(self._pending" in inspect.getsource(Client._flusher)


def test_info_says_nothing_but_other_servers_that_we_would_want_to_keep() -> None:
    source = inspect.getsource(Client._process_info)
    assert list(inspect.signature(Client._process_info).parameters) == ["self", "info", "initial_connection"]
    assert set(re.findall(r"self\.(\w+)(?: = |\.append)", source)) == {"_server_pool"}
    assert set(re.findall(r"self\.(_\w+_cb)", source)) == {"_discovered_server_cb", "_lame_duck_mode_cb"}  # which we don't set
