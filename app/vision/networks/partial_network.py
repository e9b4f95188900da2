"""A network from one of its layers on: for gradients by a layer whose activations are there already."""

from torch import fx, nn

from app.vision.networks.backbones import Backbone, once_a_backbone
from app.vision.networks.tracing import trace


@once_a_backbone
def partial_network(backbone: Backbone, layer: str) -> nn.Module | None:
    """Activations `(N, C, H, W)` of a layer to the features `(N, features)`; shares the backbone's weights.

    None if more than this layer leads on from there: within a residual block, say.
    """
    graph, outputs = trace(backbone.network)
    start = outputs.get(layer)
    if start is None:
        return None
    (pixels,) = graph.find_nodes(op="placeholder")
    with graph.inserting_after(pixels):
        entry = graph.placeholder("activations")
    start.replace_all_uses_with(entry)
    partial = fx.GraphModule(backbone.network, graph)
    partial.graph.eliminate_dead_code()
    if pixels.users:
        return None
    partial.graph.erase_node(pixels)
    partial.recompile()
    return partial
