"""One server per session, one bucket per test. With GENAI_VECTORS_ENDPOINT the suite runs against that URL instead,
with GENAI_VECTORS_TEST_STORE=lambda against the deployed functions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import deployment
import installed_model
import platform_limits
from caller import Caller, boto3_client
from places import Bucket
from server import ANY_KEY, DEPLOYED, EXTERNAL, GUEST_KEY, OWNER_KEY, Server, write_keys_file
from signing import Signer
from wire import RawClient

_LEFT_OUT: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sdk(*needs): a case about the SDK; needs these operations or members")
    config.addinivalue_line("markers", "own_server: needs a server started by the suite (flags, keys, unsigned calls)")
    config.addinivalue_line("markers", "two_keys: needs the keys of an owner and of a guest (GENAI_VECTORS_GUEST_KEY)")
    config.addinivalue_line("markers", "deployed: about the deployed functions (GENAI_VECTORS_TEST_STORE=lambda)")
    config.addinivalue_line("markers", "cli: runs the AWS CLI as a process (slow, and the same for every botocore)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The only place where cases are left out, and each reason is counted aloud in the summary."""
    lacking = installed_model.deselect_what_the_sdk_lacks(items)
    if lacking:
        _LEFT_OUT.append(f"{len(lacking)} cases about SDK features that botocore {installed_model.VERSION} lacks")
    controlled = [item for item in items if EXTERNAL and item.get_closest_marker("own_server")]
    if controlled:
        _LEFT_OUT.append(f"{len(controlled)} cases that need a server of their own (GENAI_VECTORS_ENDPOINT is set)")
    guests = [item for item in items if len(GUEST_KEY) < 2 and item.get_closest_marker("two_keys")]
    if guests:
        _LEFT_OUT.append(f"{len(guests)} cases that need a guest's key (GENAI_VECTORS_GUEST_KEY is not set)")
    functions = [item for item in items if not DEPLOYED and item.get_closest_marker("deployed")]
    if functions:
        _LEFT_OUT.append(f"{len(functions)} cases about deployed functions (GENAI_VECTORS_TEST_STORE is not lambda)")
    limited = platform_limits.of(items) if DEPLOYED else {}
    _LEFT_OUT.extend(f"{item.nodeid}: {reason}" for item, reason in limited.items())
    left_out = set(controlled + guests + functions) | set(limited)
    items[:] = [item for item in items if item not in left_out]
    if lacking or left_out:
        config.hook.pytest_deselected(items=lacking + list(left_out))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"botocore {installed_model.VERSION}: {len(installed_model.OPERATIONS)} operations")
    for line in _LEFT_OUT:
        terminalreporter.write_line(f"left out: {line}")


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The lenient server that most cases share. None when the suite runs against a given URL."""
    if EXTERNAL:
        yield None
        return
    if DEPLOYED:
        running = deployment.shared()
        yield running
        assert running.alive(), "the emulated AWS died during the suite"
        return
    with Server(tmp_path_factory.mktemp("lenient") / "data", "--auth", "none") as running:
        yield running
        assert running.alive(), "the server died during the suite\n" + running.output()[-4000:]


@pytest.fixture(scope="session")
def endpoint(server) -> str:
    return EXTERNAL or server.endpoint


@pytest.fixture(scope="session")
def api(endpoint) -> Caller:
    return Caller(endpoint, ANY_KEY)


@pytest.fixture(scope="session")
def stock_boto3(endpoint):
    """boto3 as users have it, client-side validation included."""
    return boto3_client(endpoint, ANY_KEY)


@pytest.fixture
def raw(endpoint):
    """HTTP without an SDK, as the older guide's curl calls; signed only where nobody may call unsigned."""
    client = RawClient(endpoint, Signer(*OWNER_KEY) if DEPLOYED else None)
    yield client
    client.close()


def _disposable_bucket(api: Caller):
    made = Bucket(api)
    yield made
    made.remove()


@pytest.fixture
def bucket(api):
    yield from _disposable_bucket(api)


@pytest.fixture(scope="module")
def shared_bucket(api):
    """One bucket for a module whose cases only read, or use indexes of their own."""
    yield from _disposable_bucket(api)


@pytest.fixture
def index(bucket):
    """An empty euclidean index of dimension 2."""
    return bucket.index()


@pytest.fixture(scope="session")
def strict_server(tmp_path_factory):
    if DEPLOYED:
        yield deployment.shared("Strict=true")
        return
    with Server(tmp_path_factory.mktemp("strict") / "data", "--auth", "none", "--strict") as running:
        yield running


@pytest.fixture(scope="session")
def strict_api(strict_server) -> Caller:
    return Caller(strict_server.endpoint, ANY_KEY)


@pytest.fixture(scope="module")
def strict_bucket(strict_api):
    yield from _disposable_bucket(strict_api)


@pytest.fixture(scope="session")
def keys_server(tmp_path_factory):
    if DEPLOYED:
        yield deployment.shared()
        return
    folder = tmp_path_factory.mktemp("keys")
    keys = write_keys_file(folder / "keys.json")
    with Server(folder / "data", "--auth", "keys", "--keys-file", str(keys)) as running:
        yield running


@pytest.fixture(scope="session")
def keys_api(keys_server) -> Caller:
    return Caller(keys_server.endpoint, OWNER_KEY)


@pytest.fixture
def keys_bucket(keys_api):
    yield from _disposable_bucket(keys_api)


@pytest.fixture(scope="session")
def owner(request) -> Caller:
    """Calls with an owner's key, where keys are verified."""
    return Caller(EXTERNAL, ANY_KEY) if EXTERNAL else request.getfixturevalue("keys_api")


@pytest.fixture(scope="session")
def guest(owner) -> Caller:
    """Calls with the key of somebody who may do nothing until a policy says so."""
    return Caller(owner.endpoint, GUEST_KEY)


@pytest.fixture
def guarded(owner):
    """A bucket of the owner's."""
    yield from _disposable_bucket(owner)
