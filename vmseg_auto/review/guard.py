"""Who may ask the server for what: this machine's browser, from the page itself, with the token of the link.

Another page in the same browser can send requests to 127.0.0.1 too (cross-site request forgery), and by a name of its
own that it makes point there (DNS rebinding). So the Host must be ours, an Origin must be that of our page, and all but
the page's own files needs the token, which stands in the link behind a # and so is never part of an address that is
sent or logged.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "x-vmseg-token"
_HTTP = 80
_SAME_SITE = ("same-origin", "none")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Guard:
    """Refuse whatever does not come from the page.

    Args:
        app: what is guarded.
        port: that the server listens to.
        token: of the link.
    """

    app: ASGIApp
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def link(self) -> str:
        return f"http://127.0.0.1:{self.port}/#{self.token}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no web sockets
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        why = self.why_not(scope["method"], scope["path"], Headers(scope=scope))
        if why is None:
            await self.app(scope, receive, sending)
        else:
            await JSONResponse({"problem": f"{why}."}, status_code=403)(scope, receive, sending)

    def why_not(self, method: str, path: str, headers: Headers) -> str | None:
        """Return in words why a request is refused; None where it is not."""
        names = ("127.0.0.1", "localhost")
        hosts = [f"{name}:{self.port}" for name in names]
        if self.port == _HTTP:  # which browsers leave out
            hosts += names
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in hosts:
            return "The page is asked for by another name than 127.0.0.1"
        if origin not in (None, f"http://{host}"):
            return "Another page has sent the request"
        if headers.get("sec-fetch-site", "none") not in _SAME_SITE and not _follows_link(method, path, headers):
            return "Another page has sent the request"
        if method not in ("GET", "HEAD") and origin is None:
            return "The request does not tell which page has sent it"
        if path.startswith("/api/") and not hmac.compare_digest(
            headers.get(TOKEN_HEADER, "").encode(), self.token.encode()
        ):
            return "The link is not that of this server: open the one that vmseg_review has shown last"
        return None


def _follows_link(method: str, path: str, headers: Headers) -> bool:
    """Return whether a person follows a link from another page of this machine, such as the start page: it leads to the
    page's frame, which tells nothing and is the same for all.
    """
    told = {name: headers.get(f"sec-fetch-{name}") for name in ("site", "mode", "dest")}
    return (method, path) == ("GET", "/") and told == {"site": "same-site", "mode": "navigate", "dest": "document"}
