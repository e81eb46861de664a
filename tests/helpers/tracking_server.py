"""The MLflow process of a whole reproduction, shared by the tests that only use it."""

import os

import pytest

from bkdsnn.tracking import server
from bkdsnn.tracking.connection import Connection


@pytest.fixture(scope="session")
def socket_of_server():
    """Where it is reached."""
    with server.running():
        path = os.environ["BKDSNN_TRACKER_SOCKET"]
        del os.environ["BKDSNN_TRACKER_SOCKET"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BKDSNN_TRACKER_SOCKET", path)
            Connection().finish()  # waits until it is ready
        yield path
