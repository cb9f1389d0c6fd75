import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import InputError
from trainer.classes import classify, fill, load_classes, truth_file, truth_of_pictures

SHAPES = {
    "name": "shapes",
    "languages": {
        "en": {
            "labels": {"circle": ["circle", "disc"], "square": ["square"]},
            "templates": ["a photo of a {}."],
        },
        "ko": {
            "labels": {"circle": ["원"], "square": ["네모"]},
            "templates": ["{}을(를) 찍은 사진.", "{}의 사진."],
        },
    },
    "images": {"file": "truth.json", "key": "url"},
}


def write(folder: Path, given: dict[str, Any]) -> Path:
    (folder / "truth.json").write_text(json.dumps({"u1": "circle", "u2": "square", "u3": "square"}))
    (folder / "shapes.json").write_text(json.dumps(given, ensure_ascii=False))
    return folder / "shapes.json"


@pytest.mark.parametrize(
    ("template", "name", "wanted"),
    [
        ("{}을(를) 본다", "원", "원을 본다"),
        ("{}을(를) 본다", "네모", "네모를 본다"),
        ("{}(이)가 있다", "원", "원이 있다"),
        ("{}(이)가 있다", "네모", "네모가 있다"),
        ("{}이(가) 있다", "네모", "네모가 있다"),
        ("{}은(는) 크다", "곰", "곰은 크다"),
        ("{}는(은) 크다", "새", "새는 크다"),
        ("{}과(와) 나", "곰", "곰과 나"),
        ("{}와(과) 나", "새", "새와 나"),
        ("{}(으)로 만든", "돌", "돌로 만든"),
        ("{}(으)로 만든", "금", "금으로 만든"),
        ("{}(으)로 만든", "나무", "나무로 만든"),
        ("{}(이)라는 것", "원", "원이라는 것"),
        ("{}(이)라는 것", "네모", "네모라는 것"),
        ("{}을(를)", "GTX 3", "GTX 3을"),
        ("{}을(를)", "CD", "CD를"),
        ("{}을(를)", "film", "film을"),
        ("{}을(를)", "곰(인형)", "곰(인형)을"),
        ("사진 속 {}", "새", "사진 속 새"),
        ("{}, 또는 {}을(를)", "새", "새, 또는 새를"),
        ("{} 을(를)", "새", "새 을(를)"),
        ("a {}.", "{0} %s {}", "a {0} %s {}."),
    ],
)
def test_a_particle_takes_the_form_of_the_names_last_sound(template: str, name: str, wanted: str) -> None:
    assert fill(template, name) == wanted


def test_a_set_is_read_with_its_truth_from_json_or_parquet(tmp_path: Path) -> None:
    path = write(tmp_path, SHAPES)
    assert load_classes(path).truth == {"u1": "circle", "u2": "square", "u3": "square"}
    table = pa.table({"image_id": ["a", "b"], "class": ["circle", "square"]})
    pq.write_table(table, tmp_path / "truth.parquet")
    path = write(tmp_path, SHAPES | {"images": {"file": "truth.parquet", "key": "image_id"}})
    assert load_classes(path).truth == {"a": "circle", "b": "square"}
    assert truth_file(path) == tmp_path / "truth.parquet"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"images": {"file": "truth.json", "key": "name"}}, "allowed are image_id and url"),
        ({"images": {"file": "none.json", "key": "url"}}, "none.json"),
        (
            {"languages": {"en": {"labels": {"circle": ["circle"]}, "templates": ["{}"]}}},
            "without a name: .*square",
        ),
        (
            {"languages": {"en": {"labels": {"circle": ["c"], "square": []}, "templates": ["{}"]}}},
            "no name for .*square",
        ),
        (
            {"languages": {"en": {"labels": {"circle": ["c"], "square": ["s"]}, "templates": ["it"]}}},
            "every template",
        ),
        ({"name": None, "languages": []}, "not a set of classes"),
    ],
)
def test_a_set_that_is_wrong_is_refused_in_words(tmp_path: Path, change: dict[str, Any], wanted: str) -> None:
    with pytest.raises(InputError, match=rf"shapes\.json.*{wanted}"):
        load_classes(write(tmp_path, SHAPES | change))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks 'languages'"):
        load_classes(write(tmp_path, {"name": "x"}))


def test_pictures_are_classified_by_the_nearest_class_in_each_language(tmp_path: Path) -> None:
    classes = load_classes(write(tmp_path, SHAPES))
    urls = {"a": ["u1"], "b": ["u2", "u9"], "c": ["u1", "u3"], "d": ["u9"]}
    truth = truth_of_pictures(classes, list(urls), urls)
    assert truth == {0: {0}, 1: {1}, 2: {0, 1}}

    def vectors(texts: Sequence[str]) -> np.ndarray:
        return np.array(
            [[1.0, 0.0] if "circle" in t or "disc" in t or "원" in t else [0.0, 1.0] for t in texts]
        )

    image_vectors = np.array([[1.0, 0.1], [0.9, 0.1], [0.1, 1.0], [1.0, 0.0]])
    for lang in ("en", "ko"):
        found = classify(classes, lang, image_vectors, truth, vectors)
        assert found == {
            "items": 3,
            "classes": 2,
            "accuracy": pytest.approx(2 / 3, abs=1e-5),
            "chance": pytest.approx(2 / 3, abs=1e-5),
        }


def test_a_set_without_any_labelled_picture_has_no_accuracy(tmp_path: Path) -> None:
    classes = load_classes(write(tmp_path, SHAPES))
    found = classify(classes, "en", np.zeros((2, 2)), {}, lambda texts: np.ones((len(texts), 2)))
    assert found == {"items": 0, "classes": 2, "accuracy": None, "chance": None}
