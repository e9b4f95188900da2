"""Each request as a span of a trace."""

from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_QUIET: Final = "healthz,readyz,metrics,/v2/health/"
"""Paths of which nobody wants a trace each second."""


def trace_requests(app: FastAPI, provider: "TracerProvider") -> None:
    """As FastAPI's own instrumentation has it."""
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=provider, excluded_urls=_QUIET, exclude_spans=["receive", "send"]
    )
