"""A network from one of its layers on: for gradients by a layer whose activations are there already."""

from collections.abc import Callable
from typing import Any

from torch import fx, nn

from app.vision.backbones import Backbone, once_a_backbone


class _Tracer(fx.Tracer):
    """Remembers where in the graph the output of each module is."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401 -- as in torch.fx
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
