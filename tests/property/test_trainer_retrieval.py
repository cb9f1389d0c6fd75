import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.retrieval import (
    Gallery,
    _right_answers,
    chance,
    difference,
    evaluate_gallery,
    ranks,
    ranks_oracle,
    recall,
)


@st.composite
def galleries(draw: st.DrawFn) -> Gallery:
    """Few directions, so that equal scores are frequent; captions may repeat a text, pictures may have several."""
    images, texts = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    pairs = draw(
        st.lists(st.tuples(st.integers(0, images - 1), st.integers(0, texts - 1)), min_size=1, max_size=20)
    )
    pairs += [(image, draw(st.integers(0, texts - 1))) for image in range(images)]
    pairs += [(draw(st.integers(0, images - 1)), text) for text in range(texts)]
    axes = np.eye(4, dtype=np.float32)
    vectors = [axes[draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))] for n in (images, texts)]
    places = np.array(pairs, dtype=np.int64)
    return Gallery(vectors[0], vectors[1], places[:, 0], places[:, 1])


@settings(max_examples=200, deadline=None)
@given(gallery=galleries())
def test_ranks_are_those_of_sorting(gallery: Gallery) -> None:
    texts_of = _right_answers(gallery.image_N, gallery.text_N, len(gallery.image_AD))
    images_of = _right_answers(gallery.text_N, gallery.image_N, len(gallery.text_AD))
    for query, answer, right in (
        (gallery.image_AD, gallery.text_AD, texts_of),
        (gallery.text_AD, gallery.image_AD, images_of),
    ):
        assert ranks(query, answer, right).tolist() == ranks_oracle(query, answer, right)


@settings(max_examples=100, deadline=None)
@given(gallery=galleries())
def test_recall_over_captions_is_counted_caption_by_caption(gallery: Gallery) -> None:
    found = evaluate_gallery(gallery)
    hits = []
    for text in gallery.text_N:
        right = set(gallery.image_N[gallery.text_N == text].tolist())
        (rank,) = ranks_oracle(gallery.text_AD[text : text + 1], gallery.image_AD, [np.array(sorted(right))])
        hits.append(rank < 1)
    assert found["text_to_image"]["R@1"] == pytest.approx(np.mean(hits), abs=1e-6)
    assert found["items"] == len(gallery.text_N)


@settings(max_examples=50, deadline=None)
@given(answers=st.integers(1, 6), data=st.data())
def test_chance_is_the_mean_recall_over_all_orders(answers: int, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, answers), min_size=1, max_size=3))
    right = [np.arange(size) for size in sizes]
    weight = np.arange(1.0, len(sizes) + 1)
    orders = [list(order) for order in itertools.permutations(range(answers))]
    first = [[min(order.index(i) for i in range(size)) for size in sizes] for order in orders]
    expected = [recall(np.array(found), weight) for found in first]
    for key, value in chance(right, weight, answers).items():
        assert value == pytest.approx(np.mean([one[key] for one in expected]), abs=2e-6)


def test_a_model_that_says_the_same_of_everything_retrieves_nothing() -> None:
    same = np.ones((20, 4), np.float32) / 2
    found = evaluate_gallery(Gallery(same, same, np.arange(20), np.arange(20)))
    assert found["image_to_text"] == found["text_to_image"] == {"R@1": 0.0, "R@5": 0.0, "R@10": 0.0}
    assert found["chance"]["text_to_image"] == {"R@1": 0.05, "R@5": 0.25, "R@10": 0.5}


def test_any_picture_with_the_very_caption_is_right_and_any_text_of_the_picture() -> None:
    image = np.eye(3, dtype=np.float32)
    text = np.array([[0, 1, 0], [0, 0, 1]], dtype=np.float32)
    gallery = Gallery(
        image, text, np.array([0, 1, 2, 0]), np.array([0, 0, 1, 1])
    )  # text 0 is of pictures 0 and 1
    found = evaluate_gallery(gallery)
    assert found["text_to_image"]["R@1"] == 1.0
    assert (
        found["image_to_text"]["R@1"] == pytest.approx(2 / 3, abs=1e-6)
        or found["image_to_text"]["R@1"] == 1.0
    )


def test_the_gap_is_one_minus_the_other() -> None:
    one = {"image_to_text": {"R@1": 0.5}, "text_to_image": {"R@1": 0.25}}
    other = {"image_to_text": {"R@1": 0.2}, "text_to_image": {"R@1": 0.75}}
    assert difference(one, other) == {"image_to_text": {"R@1": 0.3}, "text_to_image": {"R@1": -0.5}}
