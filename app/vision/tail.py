"""A network from one of its layers on: for gradients by a layer whose activations are there already."""

import threading
from collections.abc import Callable
from typing import Any, Final

from torch import fx, nn

from app.vision.backbones import Backbone, once_a_backbone

_TRACING: Final = threading.Lock()
"""A trace patches `nn.Module` for the whole process, and two would undo that in the wrong order."""


class _Tracer(fx.Tracer):
    """Remembers where in the graph the output of each module is.

    Other threads run their networks meanwhile; what they call is let through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}
        self._thread = threading.get_ident()

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


@once_a_backbone
def tail_of(backbone: Backbone, layer: str) -> nn.Module | None:
    """Activations `(N, C, H, W)` of a layer to the features `(N, features)`; shares the backbone's weights.

    None if more than this layer leads on from there: within a residual block, say.
    """
    tracer = _Tracer()
    with _TRACING:
        graph = tracer.trace(backbone.network)
    start = tracer.outputs.get(layer)
    if start is None:
        return None
    (pixels,) = graph.find_nodes(op="placeholder")
    with graph.inserting_after(pixels):
        entry = graph.placeholder("activations")
    start.replace_all_uses_with(entry)
    tail = fx.GraphModule(backbone.network, graph)
    tail.graph.eliminate_dead_code()
    if pixels.users:
        return None
    tail.graph.erase_node(pixels)
    tail.recompile()
    return tail
