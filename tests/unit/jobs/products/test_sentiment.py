"""How favourable texts are, and in which language they are."""

from __future__ import annotations

import pytest

from jobs.products.sentiment import is_english, tone, tones
from jobs.products.vader import polarity


@pytest.mark.parametrize(
    ("sentence", "score"),
    [
        ("Excellent, I love it!", 0.8478),
        ("It is not good.", -0.3412),
        ("Terrible. Broken. Awful.", -0.8481),
        ("I LOVE this lamp", 0.7125),
        ("This is the worst purchase of the year!", -0.6588),
        ("Not bad at all", 0.431),
        ("It is really very good!!!", 0.6539),
        ("The cable could be longer, but I am very happy with it.", 0.7572),
        ("never so happy", 0.6948),
        ("without doubt a great buy", 0.7359),
        ("no good", -0.3412),
        ("At least it works well", 0.2732),
        ("The least useful thing", -0.3412),
        ("It hurts my ears and the lid leaks.", -0.4767),
        ("Isn't it great?", -0.5096),
        ("Why does it fail??", -0.594),
        ("I wouldn't recommend this to anybody", -0.2755),
        ("Hardly any problems", -0.3446),
        ("Absolutely fantastic :)", 0.8004),
        ("Works great, but broke after a week and support was horrible", -0.5187),
        ("It's not the best, yet it is cheap and fine", -0.3753),
        ("sold as new but clearly used and dirty", -0.0772),
        ("The box contains a cable.", 0.0),
        ("", 0.0),
    ],
)
def test_sentences_score_as_vadersentiment_3_3_2_scores_them(sentence: str, score: float) -> None:
    assert polarity(sentence) == pytest.approx(score, abs=0.0002)


def test_phrases_and_emojis_count() -> None:
    assert polarity("The sound is to die for") > 0.4
    assert polarity("It was kind of disappointing") > polarity("It was disappointing")
    assert polarity("The lamp😍") > 0


@pytest.mark.parametrize(
    "text",
    [
        "Die Lampe ist sehr gut und schön",
        "Très bien, je recommande",
        "Muy bueno, lo recomiendo",
        "Ottimo prodotto, molto bello",
        "Muito bom, não tem defeito",
        "Heel goed product, een aanrader",
        "Bardzo dobry, polecam",
        "Отличная лампа",
        "とても良い商品です",
        "很好的灯",
        "Çok güzel bir ürün",
        "아주 좋아요",
        "Mycket bra lampa",
        "Qualité",
    ],
)
def test_other_languages_are_not_read(text: str) -> None:
    assert is_english(text) is False
    assert tone(text) is None


@pytest.mark.parametrize(
    "text", ["I love it", "The light is warm.", "It works, and it is cheap – très chic!", "Do not buy this"]
)
def test_english_is_told_by_its_commonest_words(text: str) -> None:
    assert is_english(text) is True


def test_a_text_too_short_to_tell_is_of_the_language_of_most() -> None:
    english, german = "I love it, it is great.", "Die Lampe ist leider nicht gut."
    assert tones(["Super", english])[0] is not None
    assert tones(["Super", german]) == [None, None]
    assert tones([]) == []
