"""The parser of requests: httptools', but deaf to offers of other protocols."""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class DeafParser:
    """Where a request has `Upgrade`, httptools skips its body and all that follows.

    Some clients offer HTTP/2 that way with whatever they ask, and nobody need accept (RFC 9110, 7.8): such a request is
    parsed once more, without the offer. Until then its callbacks are to do nothing: see `begins_anew`.
    """

    def __init__(self, connection: HttpToolsProtocol) -> None:
        self._connection = connection
        self._begin()

    def feed_data(self, data: bytes) -> None:
        """Raises `httptools.HttpParserError`."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            if not self.begins_anew():
                raise httptools.HttpParserError("CONNECT") from None
            head = self._head_without_upgrade()
            self._begin()
            self.feed_data(head + data[stop.args[0] :])

    def begins_anew(self) -> bool:
        """Whether the request whose head was read will be parsed once more."""
        return bool(self._parser.should_upgrade()) and self.get_method() != b"CONNECT"

    def should_upgrade(self) -> bool:
        return False

    def _begin(self) -> None:
        self._parser = httptools.HttpRequestParser(self._connection)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self.get_http_version, self.get_method = self._parser.get_http_version, self._parser.get_method
        self.should_keep_alive = self._parser.should_keep_alive

    def _head_without_upgrade(self) -> bytes:
        version = self.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.get_method(), self._connection.url, version)]
        for name, value in self._connection.headers:
            if name == b"connection":
                lines.append(name + b": " + _without_upgrade(value))
            elif name != b"upgrade":
                lines.append(name + b": " + value)
        return b"\r\n".join((*lines, b"", b""))


def _without_upgrade(options: bytes) -> bytes:
    return b",".join(one for one in options.split(b",") if one.strip().lower() != b"upgrade")
