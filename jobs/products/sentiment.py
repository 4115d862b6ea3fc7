"""How favourable a review is, where it is in English: others are not read, rather than guessed at.

An English lexicon takes the German article "die" for dying. Libraries that know the ten largest shop languages bring a
model of some hundred megabytes; see docs/products.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from jobs.products.vader import polarity

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")

#: From here on a text counts as favourable, and below its negative as unfavourable: VADER's own threshold.
NOTABLE = 0.05
#: Words that tell a language by being in every text of it; those of several languages tell nothing and are left out.
_ENGLISH = frozenset(
    (
        "the and it this that with for have has had but not very you my are were i they would will just really be been "
        "can its it's i'm don't doesn't didn't isn't won't as when after from if all them your too than which what who "
        "how does did get got one out about because only even their there she his her our could should some any"
    ).split()
)
_OTHERS = frozenset(
    # German, Dutch
    "der die das und ist nicht ein eine einen mit für auf ich es sehr auch aber wie dem den des zu sie wir im bei sich nach "
    "nur noch schon wird sind habe hat gut het een niet van en dat op te zijn met voor ook maar deze heel erg ik je wel er "
    # French, Spanish, Italian, Portuguese
    "le la les des une un est et très pas je que qui pour dans avec sur ce cette mais bien du au plus el los las es muy y "
    "con para una por pero como lo se del mi il di che è molto non ho sono ma per questo della gli si o e os as um uma "
    "muito não com mais foi eu do da em na é "
    # Polish, Czech, Turkish, Romanian, Swedish, Danish, Finnish, Hungarian
    "i jest nie się na z w to bardzo że ale dla je velmi ve bir ve çok bu için ama da güzel och är det som en jag att inte "
    "med för på av mycket og er til ikke jeg meget ja on ei että se oli hyvä az egy nem és foarte este și cu"
    .split()
) - _ENGLISH  # fmt: skip


def is_english(text: str) -> bool | None:
    """Return whether `text` is in English, by the commonest words; None when it has none, of no language."""
    text = text[:2000]
    letters = [character for character in text if character.isalpha()]
    if sum(character > "\u024f" for character in letters) * 5 > len(letters):  # another script
        return False
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    english = sum(word in _ENGLISH for word in words)
    others = sum(word in _OTHERS for word in words)
    if not english and not others:
        return False if any(character > "\x7f" for character in letters) else None
    return english >= others


def tones(texts: Sequence[str]) -> list[float | None]:
    """Return how favourable each text is, from -1 to 1; None for one that is not in English, or has no opinion.

    Texts too short to tell their language by are of the language that most others are of.
    """
    known = [is_english(text) for text in texts]
    most = known.count(True) >= known.count(False)
    return [
        tone(text) if (most if english is None else english) else None
        for text, english in zip(texts, known, strict=True)
    ]


def tone(text: str) -> float | None:
    """Return how favourable an English text is, from -1 to 1; None when no word carries an opinion.

    It is the mean over the sentences that carry one: VADER is made for single sentences, and long texts drive
    its score to the ends.
    """
    if is_english(text) is False:
        return None
    opinions = [score for sentence in sentences(text) if (score := polarity(sentence))]
    return round(sum(opinions) / len(opinions), 4) if opinions else None


def sentences(text: str) -> list[str]:
    """Split `text` after sentence-ending marks."""
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence]
