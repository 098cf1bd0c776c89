"""AWS Signature Version 4 by hand, so that tests choose which headers are signed and what is wrong with them."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_HASH = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Signer:
    """A key pair with its scope. Every field can be set wrong on purpose."""

    access_key: str
    secret_key: str
    region: str = "us-east-1"
    service: str = "s3vectors"
    skew: timedelta = field(default=timedelta(0))
    terminator: str = "aws4_request"

    def sign(
        self, method: str, target: str, headers: dict[str, str], body: bytes, payload_hash: str | None = None
    ) -> dict[str, str]:
        """The given headers (all of them are signed) plus `x-amz-date` and `Authorization`.

        `target` is the path and query as sent. `payload_hash` replaces the body's real hash in the canonical request.
        """
        moment = (datetime.now(UTC) + self.skew).strftime("%Y%m%dT%H%M%SZ")
        signed = {name.lower(): value for name, value in headers.items()} | {"x-amz-date": moment}
        scope = f"{moment[:8]}/{self.region}/{self.service}/{self.terminator}"
        request = canonical_request(method, target, signed, payload_hash or hashlib.sha256(body).hexdigest())
        to_sign = "\n".join((ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()))
        signature = hmac.new(self._key(moment[:8]), to_sign.encode(), hashlib.sha256).hexdigest()
        signed["authorization"] = (
            f"{ALGORITHM} Credential={self.access_key}/{scope}, "
            f"SignedHeaders={';'.join(sorted(n for n in signed))}, Signature={signature}"
        )
        return signed

    def _key(self, day: str) -> bytes:
        key = b"AWS4" + self.secret_key.encode()
        for part in (day, self.region, self.service, self.terminator):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key


def canonical_request(method: str, target: str, headers: dict[str, str], payload_hash: str) -> str:
    """Canonical form for services other than S3: the path as sent is encoded once more."""
    path, _, query = target.partition("?")
    pairs = sorted(tuple(part.partition("=")[::2]) for part in query.split("&") if part)
    names = sorted(headers)
    return "\n".join(
        (
            method,
            quote(path, safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            ";".join(names),
            payload_hash,
        )
    )
