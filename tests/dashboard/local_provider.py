"""A tiny OpenID Connect provider of this machine: whoever comes is the person it is set to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT_ID = "edgekeeper"


@dataclass
class Provider:
    """Who logs in next, and what was asked."""

    issuer: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict)
    lives_s: float = 600
    nonces: dict[str, str] = field(default_factory=dict)


@contextmanager
def local_provider() -> Iterator[Provider]:
    """Run a provider on a free port."""
    from joserfc.jwk import RSAKey

    provider = Provider()
    key = RSAKey.generate_key(2048, parameters={"kid": "1", "use": "sig", "alg": "RS256"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider, key))
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield provider
    server.shutdown()


def _handler(provider: Provider, key: Any) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            if asked.path.endswith("openid-configuration"):
                self._answer(_configuration(provider.issuer))
            elif asked.path == "/jwks":
                self._answer({"keys": [key.as_dict(private=False)]})
            elif asked.path == "/authorize":
                provider.nonces["code"] = query.get("nonce", "")
                back = urlencode({"code": "code", "state": query["state"]})
                self.send_response(302)
                self.send_header("Location", f"{query['redirect_uri']}?{back}")
                self.end_headers()
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(
                {"access_token": "a", "token_type": "Bearer", "expires_in": 600,
                 "id_token": _signed(provider, key)}
            )  # fmt: skip

        def _answer(self, told: Mapping[str, Any]) -> None:
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _configuration(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def _signed(provider: Provider, key: Any) -> str:
    from joserfc import jwt

    now = time.time()
    claims = {
        "iss": provider.issuer, "aud": CLIENT_ID, "sub": "7", "iat": int(now),
        "exp": int(now + provider.lives_s), "nonce": provider.nonces.get("code", ""),
        **provider.claims,
    }  # fmt: skip
    return str(jwt.encode({"alg": "RS256", "kid": "1"}, claims, key))
