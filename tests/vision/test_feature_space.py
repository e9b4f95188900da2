import pytest
import torch
from torch import Tensor

from app.vision.feature_space import MAX_REFERENCES, FeatureSpace, statistics_of

CENTRES = torch.randn(3, 64, generator=torch.Generator().manual_seed(0)) * 2


def pictures(number: int, seed: int, centres: Tensor = CENTRES) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % len(centres)
    return centres[labels] + torch.randn(number, centres.shape[1], generator=generator), labels


def space_of(number: int, seed: int = 1) -> FeatureSpace:
    features, labels = pictures(number, seed)
    return FeatureSpace.of(features, labels, torch.arange(number), seed=0)[0]


def test_strangers_are_unknown_and_few_of_the_classes_own_are() -> None:
    space = space_of(600)
    strangers, _ = pictures(300, 2, -CENTRES)
    own, _ = pictures(2000, 3)
    assert (space.unknown(strangers) > 0.5).all()
    assert 0.02 < float((space.unknown(own) > 0.5).float().mean()) < 0.09


def test_the_threshold_leaves_out_a_twentieth_of_what_was_learned() -> None:
    features, labels = pictures(400, 1)
    space, known = FeatureSpace.of(features, labels, torch.arange(400), seed=0)
    assert float((known > space.threshold).float().mean()) == pytest.approx(0.05, abs=0.005)
    assert len(space.references) == 400


def test_copies_are_not_each_others_neighbours() -> None:
    features, labels = pictures(60, 1)
    features[:20], labels[:20] = features[0].clone(), labels[0]
    groups = torch.arange(60)
    apart = FeatureSpace.of(features, labels, groups, seed=0)[1]
    together = FeatureSpace.of(features, labels, groups.where(groups >= 20, 0), seed=0)[1]
    assert int((apart < 0.01).sum()) == 20
    assert float(together.min()) > 0.1


def test_few_pictures_know_each_other_and_not_strangers() -> None:
    """The threshold must hold for pictures that the space was not made of, which a space of few makes look strange."""
    own, _ = pictures(300, 3)
    strangers, _ = pictures(300, 2, -CENTRES)
    spaces = [space_of(12, seed) for seed in range(10, 20)]
    assert float(torch.stack([space.unknown(own) > 0.5 for space in spaces]).float().mean()) < 0.12
    assert float(torch.stack([space.unknown(strangers) > 0.5 for space in spaces]).float().mean()) > 0.9


def test_with_a_mask_only_those_are_measured_against_the_rest() -> None:
    features, labels = pictures(60, 1)
    judged = torch.arange(60) < 12
    _, known = FeatureSpace.of(features, labels, torch.arange(60), seed=0, judged=judged)
    alone, _ = FeatureSpace.of(features[~judged], labels[~judged], torch.arange(48), seed=0)
    assert torch.equal(known, alone.distance(features[judged]))


def test_references_come_in_turns_from_every_class() -> None:
    features, _ = pictures(2000, 1)
    labels = (torch.arange(2000) % 100 == 0).long()  # 20 of the second class
    space, known = FeatureSpace.of(features, labels, torch.arange(2000), seed=0)
    assert len(space.references) == MAX_REFERENCES
    assert len(known) == 2000
    directions = torch.nn.functional.normalize(space.standardised(features[labels == 1]), dim=1)
    nearest = (directions @ space.references.float().T).max(1).values
    assert (nearest > 0.999).all()


def test_two_classes_of_two_pictures_are_enough() -> None:
    features, labels = pictures(4, 1, CENTRES[:2])
    space, known = FeatureSpace.of(features, labels, torch.arange(4), seed=0)
    assert known.isfinite().all()
    assert space.unknown(features).isfinite().all()
    everything_a_copy = FeatureSpace.of(features[:1].expand(4, -1), labels, torch.zeros(4), seed=0)[0]
    assert everything_a_copy.unknown(features).isfinite().all()


def test_prototypes_point_to_their_class() -> None:
    space = space_of(300)
    fresh, labels = pictures(90, 5)
    cosines = space.standardised(fresh) @ space.prototypes.T
    assert cosines.argmax(1).tolist() == labels.tolist()
    assert torch.allclose(space.prototypes.norm(dim=1), torch.ones(3))


def test_tensors_come_back_as_they_were_and_on_another_device() -> None:
    space = space_of(50)
    again = FeatureSpace.from_tensors(space.tensors(), threshold=space.threshold, spread=space.spread)
    fresh, _ = pictures(9, 5)
    assert torch.equal(again.unknown(fresh), space.unknown(fresh))
    assert {tensor.device.type for tensor in again.to(torch.device("meta")).tensors().values()} == {"meta"}
    with pytest.raises(KeyError):
        FeatureSpace.from_tensors({"mean": space.mean}, threshold=0.5, spread=0.1)


def test_a_deviation_is_never_zero() -> None:
    for rows in (torch.ones(1, 3), torch.ones(5, 3)):
        mean, deviation = statistics_of(rows)
        assert torch.equal(mean, torch.ones(3))
        assert (deviation > 0).all()
