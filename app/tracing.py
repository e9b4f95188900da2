"""Traces by OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT says who wants them; its other OTEL_* variables hold, too.

Nothing of it is imported where nobody does: that would cost every start a third of a second.
"""

import atexit
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_WANTED: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PARENT: Final = "traceparent"


class Tracing:
    """Of one process; without anybody who wants them its spans are none."""

    def __init__(self, environ: Mapping[str, str], part: str) -> None:
        """`part` is `service` or `worker`."""
        self._tracer: Tracer | None = None
        self.provider: Any = None
        """None where nobody wants traces."""
        if not any(environ.get(name) for name in _WANTED) or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": f"inkblot-{part}"}
        self.provider = TracerProvider(resource=Resource.create(named))
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self.provider.get_tracer("inkblot")
        atexit.register(self.close)

    @contextmanager
    def span(self, name: str, parent: str | None = None, **attributes: str | int) -> Iterator[None]:
        """Within the one of a `traceparent`, if one is given."""
        if self._tracer is None:
            yield
            return
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({_PARENT: parent}) if parent else None
        with self._tracer.start_as_current_span(name, context, attributes=attributes):
            yield

    def close(self) -> None:
        """Send what was not sent yet."""
        if self.provider:
            self.provider.shutdown()
            self.provider = self._tracer = None


def traceparent() -> str | None:
    """Of the span in which this is called (W3C Trace Context); None where there is none."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(_PARENT)
