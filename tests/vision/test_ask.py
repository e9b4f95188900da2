from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from app.vision.ask import Activity, Algorithm, Answer, Ask, Progress, answer, run
from app.vision.classifier import Classifier
from app.vision.models.repository import ModelRepository
from app.vision.networks.layers import UnknownLayerError
from app.vision.threads import use_threads
from tests.support.paths import ROOT

LAYER = "_blocks.10"


@pytest.fixture(scope="module")
def models() -> ModelRepository:
    return ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def classifier(models: ModelRepository) -> Classifier:
    return models.load("imagenet")


@pytest.fixture(params=[1, 2, 9], ids=["one thread", "two threads", "many threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def tabby(seen: Activity) -> Tensor:
    return seen.logits[:, 281]


def channel(seen: Activity) -> Tensor:
    return seen.layers[LAYER][:, 7].mean((1, 2))


def canvases(number: int, size: int = 96, seed: int = 0) -> Tensor:
    return torch.rand(number, 3, size, size, generator=torch.Generator().manual_seed(seed))


def given(answered: Answer | Exception) -> Answer:
    assert isinstance(answered, Answer)
    return answered


def test_the_gradient_is_that_of_the_score_by_the_canvas(classifier: Classifier) -> None:
    canvas = canvases(2).requires_grad_()
    (expected,) = torch.autograd.grad(classifier.logits(canvas)[:, 281].sum(), canvas)
    (answered,) = answer([Ask(classifier, canvas, tabby)])
    assert torch.allclose(given(answered).gradient, expected, atol=1e-6, rtol=1e-4)
    assert torch.equal(given(answered).scores, given(answered).logits[:, 281])


def test_an_objective_may_lie_inside_the_network(classifier: Classifier) -> None:
    (answered,) = answer([Ask(classifier, canvases(2), channel, layers=(LAYER,))])
    moved = canvases(2) + 0.02 * given(answered).gradient / given(answered).gradient.abs().amax()
    (after,) = answer([Ask(classifier, moved, channel, layers=(LAYER,))])
    assert (given(after).scores > given(answered).scores).all()


@pytest.mark.usefixtures("threads")
def test_an_ask_gets_the_same_bits_alone_and_in_company(models: ModelRepository, classifier: Classifier) -> None:
    asks = [
        Ask(classifier, canvases(1, seed=1), tabby),
        Ask(classifier, canvases(3, seed=2), channel, layers=(LAYER,)),
        Ask(classifier, canvases(1, seed=3)),
        Ask(models.load("efficientnet_lite1"), canvases(2, seed=4), tabby),
        Ask(classifier, canvases(2, size=64, seed=5), tabby),
        Ask(classifier, canvases(2, seed=6), tabby),
        Ask(classifier, canvases(3, seed=7), channel, layers=(LAYER,)),
    ]
    together = [given(one) for one in answer(asks)]
    alone = [given(answer([ask])[0]) for ask in asks]
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one.logits, other.logits)
        assert torch.equal(one.gradient, other.gradient)


@pytest.mark.parametrize("threads", [2], indirect=True)
@pytest.mark.usefixtures("threads")
def test_an_ask_that_lies_in_two_parts_of_a_pass_gets_the_same_bits(classifier: Classifier) -> None:
    """Of four canvases on two threads, the second to the fourth are one ask's."""
    asks = [Ask(classifier, canvases(number, 224, number), channel, layers=(LAYER,)) for number in (1, 3)]
    for one, ask in zip(answer(asks), asks, strict=True):
        alone = given(answer([ask])[0])
        assert torch.equal(given(one).features, alone.features)
        assert torch.equal(given(one).scores, alone.scores)
        assert torch.equal(given(one).gradient, alone.gradient)


def test_an_ask_without_canvases_is_answered(classifier: Classifier) -> None:
    none, some = answer([Ask(classifier, canvases(2)[:0], tabby), Ask(classifier, canvases(2), tabby)])
    assert given(none).gradient.shape == (0, 3, 96, 96)
    assert given(some).gradient.shape == (2, 3, 96, 96)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_an_ask_gets_the_same_bits_whether_its_pass_is_spread_or_not(classifier: Classifier, number: int) -> None:
    """On four threads one canvas is shared by all of them, and four are spread."""
    before = torch.get_num_threads()
    use_threads(4)
    first = Ask(classifier, canvases(1, 224), tabby)
    others = [Ask(classifier, canvases(1, 224, seed), tabby) for seed in range(1, number)]
    together, alone = answer([first, *others])[0], answer([first])[0]
    use_threads(before)
    assert torch.equal(given(together).gradient, given(alone).gradient)
    assert torch.equal(given(together).features, given(alone).features)


def test_classifiers_of_one_backbone_share_its_pass(models: ModelRepository, classifier: Classifier) -> None:
    other = Classifier(classifier.card, classifier.backbone, torch.nn.Linear(1280, 2), classifier.labels)
    passes = []
    hook = classifier.backbone.network.get_submodule("_fc").register_forward_hook(lambda *_: passes.append(1))
    answers = answer([Ask(classifier, canvases(1), tabby), Ask(other, canvases(1), lambda seen: seen.logits[:, 1])])
    hook.remove()
    assert [given(one).logits.shape for one in answers] == [(1, 1000), (1, 2)]
    assert len(passes) == 1


@pytest.mark.parametrize(
    ("number", "size", "parts"),
    [(1, 224, [1]), (2, 224, [1, 1]), (5, 224, [2, 3]), (4, 112, [4]), (1, 96, [1]), (8, 160, [4, 4])],
)
@pytest.mark.parametrize("threads", [2], indirect=True)
def test_canvases_are_spread_over_threads_where_each_has_enough_to_do(
    classifier: Classifier, threads: int, number: int, size: int, parts: list[int]
) -> None:
    seen: list[int] = []

    def note(_module: object, _inputs: object, output: Tensor) -> None:
        seen.append(len(output))
        assert torch.get_num_threads() == 1

    hook = classifier.backbone.network.get_submodule("_fc").register_forward_hook(note)
    (spread,) = answer([Ask(classifier, canvases(number, size), tabby)])
    hook.remove()
    assert sorted(seen) == parts
    assert torch.get_num_threads() == threads
    use_threads(1)
    (whole,) = answer([Ask(classifier, canvases(number, size), tabby)])
    assert torch.equal(given(spread).gradient, given(whole).gradient)
    assert torch.equal(given(spread).features, given(whole).features)


@pytest.mark.parametrize("threads", [1], indirect=True)
@pytest.mark.usefixtures("threads")
def test_many_asks_run_in_passes_of_bounded_size(classifier: Classifier) -> None:
    sizes: list[int] = []
    hook = classifier.backbone.network.get_submodule("_fc").register_forward_hook(
        lambda _module, _inputs, output: sizes.append(len(output))
    )
    answer([Ask(classifier, canvases(3, size=224, seed=seed)) for seed in range(4)])
    hook.remove()
    assert sizes == [6, 6]


def test_an_objective_that_fails_fails_alone(classifier: Classifier) -> None:
    def broken(seen: Activity) -> Tensor:
        return seen.logits[:, 5000]

    no_layer = Ask(classifier, canvases(1), channel, layers=("_blocks.99",))
    failed, lost, fine = answer([Ask(classifier, canvases(1), broken), no_layer, Ask(classifier, canvases(1), tabby)])
    assert isinstance(failed, IndexError)
    assert isinstance(lost, UnknownLayerError)
    assert given(fine).gradient.shape == (1, 3, 96, 96)


def test_the_weights_get_no_gradient(classifier: Classifier) -> None:
    answer([Ask(classifier, canvases(1), tabby)])
    assert all(weight.grad is None and not weight.requires_grad for weight in classifier.backbone.parameters())


def climb(classifier: Classifier, canvas: Tensor, *, steps: int) -> Algorithm[Tensor]:
    for number in range(1, steps + 1):
        answered = yield Ask(classifier, canvas, tabby, progress=Progress(number, steps))
        canvas = (canvas + 0.01 * answered.gradient.sign()).clamp(0, 1)
    return canvas


def test_run_answers_until_the_algorithm_returns(classifier: Classifier) -> None:
    before = canvases(1)
    after = run(climb(classifier, before, steps=3))
    assert classifier.logits(after)[0, 281] > classifier.logits(before)[0, 281]


def test_run_raises_what_an_objective_raises(classifier: Classifier) -> None:
    def wrong_layer(classifier: Classifier) -> Algorithm[None]:
        yield Ask(classifier, canvases(1), channel, layers=("_fc.nothing",))

    with pytest.raises(UnknownLayerError):
        run(wrong_layer(classifier))
