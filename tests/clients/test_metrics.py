"""What a scraper makes of `/metrics`, in both text forms: every sample belongs to a family of the right type."""

import pytest
from caller import Caller
from places import Bucket
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from server import OWNER_KEY, Server
from wire import RawClient

SUFFIXES = {
    "counter": {"_total"},
    "gauge": {""},
    "histogram": {"_bucket", "_sum", "_count"},
}
# As Prometheus asks when its own text form is switched off, and as version 2 and 3 ask by themselves.
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"


@pytest.fixture(scope="module")
def scrape(tmp_path_factory):
    """`scrape(accept)`: content type and text of a server that has seen a request and an error."""
    folder = tmp_path_factory.mktemp("metrics")
    with Server(folder / "data", "--auth", "none", "--cache-dir", str(folder / "cache")) as running:
        api = Caller(running.endpoint, OWNER_KEY)
        Bucket(api).index()
        api.call("GetVectorBucket", vectorBucketName="absent")

        def get(accept):
            headers = {} if accept is None else {"Accept": accept}
            answer = RawClient(running.endpoint).send("GET", "/metrics", headers=headers)
            assert answer.status == 200
            return answer.headers["content-type"], answer.text.decode()

        yield get


def check(families):
    found = {}
    for family in families:
        assert family.type in SUFFIXES, f"{family.name} is of no type: {family.type}"
        assert family.documentation, family.name
        endings = {sample.name.removeprefix(family.name) for sample in family.samples}
        assert endings <= SUFFIXES[family.type], (family.name, endings)
        assert family.name not in found, f"{family.name} is there twice"
        found[family.name] = family
    requests = found["genai_vectors_requests"]
    counted = {sample.labels["operation"]: sample.value for sample in requests.samples}
    assert requests.type == "counter" and counted["GetVectorBucket"] == 1
    assert found["genai_vectors_cpu_seconds"].samples[0].value > 0
    assert found["genai_vectors_request_latency_seconds"].type == "histogram"
    return {name: family.type for name, family in found.items()}


@pytest.mark.parametrize("accept", [None, "*/*", "text/plain", "text/plain;version=0.0.4", "text/html, */*;q=0.8"])
def test_prometheus_text(scrape, accept):
    content_type, text = scrape(accept)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    types = check(parse_text(text))
    # The parser above forgives counters that are described without `_total`; a server that scrapes does not.
    described = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))
    expected = {name + "_total" if kind == "counter" else name: kind for name, kind in types.items()}
    assert described == expected
    comments = {line.split()[1] for line in text.splitlines() if line.startswith("#")}
    assert comments == {"HELP", "TYPE"}


@pytest.mark.parametrize("accept", ["application/openmetrics-text", OPENMETRICS])
def test_openmetrics(scrape, accept):
    content_type, text = scrape(accept)
    assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert check(parse_openmetrics(text)) == check(parse_text(scrape(None)[1]))
