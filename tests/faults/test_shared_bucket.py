"""Two servers over one bucket of MinIO: one database, whoever is asked, and when either is killed."""

import random
import threading
import time

import pytest
from object_servers import shared
from places import Bucket, unique_name
from server import Server
from test_kill9 import read_everything, write_until_it_dies
from wire import RawClient
from write_ledger import GONE, Ledger, content

# Everything happens in a test's time: folds after a tenth of a second, merges, collections.
BUSY = ("--fold-entries", "6", "--fold-age-ms", "100", "--settle-ms", "300", "--flat-threshold", "40")
BUSY += ("--collect-floor-age-s", "2", "--collect-list-age-s", "1", "--collect-interval-s", "1")


@pytest.fixture(params=["documents", "table"])
def pair(request, tmp_path):
    """Two servers over one new database."""
    environment = shared("minio").environment() | {"GENAI_VECTORS_CACHE_DIR": str(tmp_path / "cache")}
    flags = ["--auth", "none", *BUSY]
    if request.param == "table":
        environment |= {"AWS_ENDPOINT_URL_DYNAMODB": shared("dynamodb-local").endpoint}
        flags += ["--table", unique_name("vectors")]
    place = f"s3://genai-vectors/{unique_name()}"
    servers = [
        Server(place, *flags, log_path=tmp_path / f"server-{number}.log", environment=environment)
        for number in range(2)
    ]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.kill()


def test_random_operations_agree_with_a_model(pair, caller):
    """Every answer of either server is what a dictionary says, through folds, merges and collections."""
    chance = random.Random(7)
    apis = [caller(server) for server in pair]
    index = Bucket(apis[0]).index(dimension=8)
    model = {}
    for version in range(1, 250):
        index.bucket.api = chance.choice(apis)
        keys = [f"k{chance.randrange(80)}" for _ in range(chance.randint(1, 8))]
        if chance.random() < 0.25:
            index.delete(*keys)
            for key in keys:
                model.pop(key, None)
        else:
            index.put(*({"key": key, **content(key, version)} for key in set(keys)))
            model |= {key: version for key in keys}
        expected = {key: {"key": key, **content(key, number)} for key, number in model.items()}
        index.bucket.api = chance.choice(apis)
        asked = [*chance.sample(sorted(model), min(5, len(model))), "never"]
        assert index.get(*asked) == {key: expected[key] for key in asked if key in expected}
        if version % 10 == 0:
            listed = index.list(returnData=True, returnMetadata=True)
            assert {row["key"]: row for row in listed} == expected and len(listed) == len(expected)
        if version % 10 == 5:
            hits = index.query([0.5] * 8, 100, returnMetadata=True)
            assert {hit["key"]: hit["metadata"] for hit in hits} == {
                key: row["metadata"] for key, row in expected.items()
            }


ROUNDS = 6
CLIENTS = 4


def test_killing_either_loses_nothing(pair, caller):
    """Clients write to both; one is killed; the other has everything that either acknowledged, at once."""
    ids = Bucket(caller(pair[0])).index("ledger", dimension=8).by_name
    ledgers = [Ledger(number) for number in range(2 * CLIENTS)]
    for number in range(ROUNDS):
        victim, survivor = pair[number % 2], pair[1 - number % 2]
        stop, failures, threads = threading.Event(), [], []

        def work(ledger, server, stop=stop, failures=failures):
            try:
                write_until_it_dies(server.endpoint, ids, ledger, stop)
            except BaseException as error:
                failures.append(error)

        for ledger in ledgers:
            server = pair[ledger.client % 2]
            threads.append(threading.Thread(target=work, args=(ledger, server)))
            threads[-1].start()
        time.sleep(1.5)
        victim.kill()
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a client hangs"
        assert not failures, failures[0]
        # What the dead one had sent may arrive a moment later: the doubtful batch is then there or it is not.
        time.sleep(0.5)
        for server in (survivor, victim.start()):
            found = read_everything(server.endpoint, ids)
            for ledger in ledgers:
                own = {key: row for key, row in found.items() if key.startswith(f"c{ledger.client}-")}
                complaints = ledger.settle(own)
                assert not complaints, f"round {number}: {complaints[:10]}"
        assert survivor.alive() and RawClient(survivor.endpoint).send("GET", "/health").status == 200
    assert sum(ledger.versions for ledger in ledgers) > ROUNDS * CLIENTS
    assert any(version is not GONE for ledger in ledgers for version in ledger.acknowledged.values())
