"""The cases that cannot hold for the deployed functions, each with the trait of the platform that forbids it.

The only such list. Whatever is on it is named by the run, and an entry that fits no case is an error.
"""

from __future__ import annotations

import re

import pytest

ROUTES = "API Gateway answers what no route takes, and its routes name no path in front of an operation"
HTTP = "clients speak HTTP with API Gateway, not with us"
TEXT = "API Gateway hands JSON on as text: other bytes are lost; test_deployed.py has what is sent as bytes"
EVENT = "an event is 6 MB at most; test_deployed.py has that limit"
ANYBODY = "the deployed functions serve nobody without a key"
OWN = "the functions have no pages of their own: metrics and health are CloudWatch's"

# Pattern of a case's name behind tests/conformance/ -> why it cannot hold.
LIMITS: dict[str, str] = {
    r"test_transport.py::test_paths\[(/prod|/a/b/c|/s3-vectors/prod|/st%20age)\]": ROUTES,
    r"test_transport.py::test_unknown_paths\[.*": ROUTES,
    r"test_transport.py::test_other_methods\[.*": ROUTES,
    r"test_tags.py::test_arn_in_the_path\[/prod-.*": ROUTES,
    r"test_tags.py::test_other_methods\[.*": ROUTES,
    r"test_signatures.py::test_each_client_verifies\[/prod-.*": ROUTES,
    r"test_guide_forms.py::test_(all_thirteen_calls|filter_with_several_fields)\[(/prod|/v1/.*)\]": ROUTES,
    r"test_transport.py::test_(chunked_body|expect_continue|http_1_0)": HTTP,
    r"test_transport.py::test_gzip\[.*": TEXT,
    r"test_transport.py::test_gzip_that_inflates_beyond_the_limit": TEXT,
    r"test_transport.py::test_bad_gzip\[(cut|bad checksum|header only)\]": TEXT,
    r"test_signatures.py::test_signed_gzip_body": TEXT,
    r"test_signatures.py::test_denied_before_the_body_is_looked_at\[no text\]": TEXT,
    r"test_unicode.py::test_invalid_utf8\[.*": TEXT,
    r"test_transport.py::test_body_of_twenty_mebibytes\[.*": EVENT,
    r"test_transport.py::test_one_byte_more": EVENT,
    r"test_transport.py::test_a_web_page_cannot_reach_an_open_database\[.*": ANYBODY,
    r"test_transport.py::test_loopback_hosts_are_welcome\[.*": ANYBODY,
    r"test_transport.py::test_(health_metrics_stats|cache_bytes|status_endpoints_can_be_switched)": OWN,
    r"test_signatures.py::test_health_is_open_and_nothing_else": OWN,
}


def of(items: list[pytest.Item]) -> dict[pytest.Item, str]:
    """The cases among these that are limited, and why."""
    names = {item: item.nodeid.rpartition("conformance/")[2] for item in items}
    files = {name.partition("::")[0] for name in names.values()}
    limited = {}
    for pattern, reason in LIMITS.items():
        if pattern.partition("::")[0] not in files:
            continue
        found = [item for item, name in names.items() if re.fullmatch(pattern.replace(".py", r"\.py"), name)]
        limited |= dict.fromkeys(found, reason)
        if not found and not is_partial(items):
            raise pytest.UsageError(f"platform_limits.py: {pattern!r} fits no case")
    return limited


def is_partial(items: list[pytest.Item]) -> bool:
    """Whether single cases were asked for, so that a pattern may well fit none."""
    return any("::" in argument for argument in items[0].config.args) if items else True
