"""The one way to the graph of a network (torch.fx), safe while other threads run theirs."""

import threading
from collections.abc import Callable
from typing import Any, Final

from torch import fx, nn

TRACING: Final = threading.Lock()
"""Held by whatever traces: torch.fx and torch.export patch `nn.Module` for the whole process, and two would undo that
in the wrong order (of three exports at once, torch failed two)."""


def trace(network: nn.Module, *, leaves: tuple[type[nn.Module], ...] = ()) -> tuple[fx.Graph, dict[str, fx.Node]]:
    """The graph, and for the path of each module that was called the node of its output.

    Modules of the types `leaves` are not looked into, like those of torch itself. Networks that other threads run
    meanwhile are left alone.
    """
    tracer = _Tracer(leaves)
    with TRACING:
        graph = tracer.trace(network)
    return graph, tracer.outputs


class _Tracer(fx.Tracer):
    """Remembers where in the graph the output of each module is; calls of other threads are let through."""

    def __init__(self, leaves: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}
        self._leaves = leaves
        self._thread = threading.get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self._leaves) or super().is_leaf_module(m, module_qualified_name)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:  # noqa: ANN401 -- as in torch.fx
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401 -- as in torch.fx
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        output = super().call_module(m, forward, args, kwargs)
        if isinstance(output, fx.Proxy):
            self.outputs[self.path_of_module(m)] = output.node
        return output
