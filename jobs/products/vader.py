"""VADER: how favourable an English sentence is, by a lexicon and rules, without a model.

C. J. Hutto and E. Gilbert: VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text. ICWSM
2014. `vader_lexicon.txt` holds the words and the mean ratings of vaderSentiment 3.3.2, and the emojis whose descriptions
have such words; copyright (c) 2016 C. J. Hutto, used under the MIT license:

    Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
    documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
    rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
    persons to whom the Software is furnished to do so, subject to the following conditions: The above copyright notice
    and this permission notice shall be included in all copies or substantial portions of the Software. THE SOFTWARE IS
    PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
    MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT
    HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
    ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

The package is of 2020, and installing it installs requests and charset-normalizer, which nothing here needs.
"""

from __future__ import annotations

import math
import string
from pathlib import Path

_BOOST = 0.293
_CAPITALS = 0.733
_NEGATION = -0.74
#: What makes a word weigh more, or less.
_BOOSTERS = {
    **dict.fromkeys(
        (
            "absolutely amazingly awfully completely considerable considerably decidedly deeply effing enormous "
            "enormously entirely especially exceptional exceptionally extreme extremely fabulously flipping flippin "
            "frackin fracking fricking frickin frigging friggin fully fuckin fucking fuggin fugging greatly hella highly "
            "hugely incredible incredibly intensely major majorly more most particularly purely quite really remarkably "
            "so substantially thoroughly total totally tremendous tremendously uber unbelievably unusually utter utterly "
            "very"
        ).split(),
        _BOOST,
    ),
    **dict.fromkeys(
        (
            "almost barely hardly kinda kindof kind-of less little marginal marginally occasional occasionally partly "
            "scarce scarcely slight slightly somewhat sorta sortof sort-of"
        ).split(),
        -_BOOST,
    ),
    **dict.fromkeys(("just enough", "kind of", "sort of"), -_BOOST),
}
_NEGATIONS = frozenset(
    (
        "aint arent cannot cant couldnt darent didnt doesnt dont hadnt hasnt havent isnt mightnt mustnt neither neednt "
        "never none nope nor not nothing nowhere oughtnt shant shouldnt uhuh uh-uh wasnt werent without wont wouldnt "
        "rarely seldom despite"
    ).split()
)
_PHRASES = {
    "the shit": 3.0, "the bomb": 3.0, "bad ass": 1.5, "badass": 1.5, "bus stop": 0.0, "yeah right": -2.0,
    "kiss of death": -1.5, "to die for": 3.0, "beating heart": 3.5,
}  # fmt: skip


def _read_lexicon() -> dict[str, float]:
    lines = Path(__file__).with_name("vader_lexicon.txt").read_text(encoding="utf-8").splitlines()
    return {word: float(valence) for word, _, valence in (line.rpartition("\t") for line in lines)}


#: Loaded at import: the package is imported before the forks, so all consumers share it.
LEXICON = _read_lexicon()
_EMOJIS = str.maketrans({word: f" {word} " for word in LEXICON if len(word) == 1 and word > "\u2000"})


def polarity(sentence: str) -> float:
    """Return how favourable `sentence` is, from -1 to 1; 0 when no word of it carries an opinion."""
    words = [_stripped(word) for word in sentence.translate(_EMOJIS).split()]
    lower = [word.lower().replace("’", "'") for word in words]
    capitals = sum(word.isupper() for word in words)
    some_capitals = 0 < capitals < len(words)
    valences = [_valence(words, lower, at, some_capitals) for at in range(len(words))]
    if "but" in lower:  # what follows it counts
        turn = lower.index("but")
        valences = [value * (0.5 if at < turn else 1.5) for at, value in enumerate(valences)]
    total = math.fsum(valences)
    questions = sentence.count("?")
    emphasis = 0.292 * min(4, sentence.count("!")) + (
        0.0 if questions < 2 else 0.18 * questions if questions < 4 else 0.96
    )
    total += math.copysign(emphasis, total) if total else 0.0
    return round(total / math.sqrt(total * total + 15), 4)


def _stripped(token: str) -> str:
    """Return a word without the punctuation around it; emoticons stay."""
    word = token.strip(string.punctuation + "“”’…")
    return word if len(word) > 2 else token


def _valence(words: list[str], lower: list[str], at: int, some_capitals: bool) -> float:
    word = lower[at]
    valence = LEXICON.get(word)
    if valence is None or word in _BOOSTERS or " ".join(lower[at : at + 2]) == "kind of":
        return 0.0
    before = [lower[at - distance] if at >= distance else "" for distance in (1, 2, 3)]
    if word == "no" and at + 1 < len(lower) and lower[at + 1] in LEXICON:
        valence = 0.0
    if "no" in before[:2] or (before[2] == "no" and before[0] in {"or", "nor"}):
        valence = LEXICON[word] * _NEGATION
    if some_capitals and words[at].isupper():
        valence += math.copysign(_CAPITALS, valence)
    for distance, dampened in ((1, 1.0), (2, 0.95), (3, 0.9)):
        other = before[distance - 1]
        if not other or other in LEXICON:
            continue
        boost = math.copysign(1.0, valence) * _BOOSTERS.get(other, 0.0)
        if boost and some_capitals and words[at - distance].isupper():
            boost += math.copysign(_CAPITALS, valence)
        valence = _negated(valence + boost * dampened, before, distance)
    valence = _idiomatic(valence, lower, at)
    if before[0] == "least" and before[1] not in {"at", "very"}:
        valence *= _NEGATION
    return valence


def _negated(valence: float, before: list[str], distance: int) -> float:
    other = before[distance - 1]
    nearer = before[: distance - 1]
    if distance > 1 and other == "never" and {"so", "this"} & set(nearer):
        return valence * 1.25
    if distance > 1 and other == "without" and "doubt" in nearer:
        return valence
    return valence * _NEGATION if other.replace("'", "") in _NEGATIONS or "n't" in other else valence


def _idiomatic(valence: float, lower: list[str], at: int) -> float:
    """Return the valence of the phrase that a word is part of, if it is."""
    for length in (3, 2):
        for start in range(max(0, at - length + 1), at + 1):
            phrase = " ".join(lower[start : start + length])
            if phrase in _PHRASES:
                return _PHRASES[phrase]
    boost = sum(_BOOSTERS.get(" ".join(lower[end - 2 : end]), 0.0) for end in (at, at - 1) if end >= 2)
    return valence + math.copysign(1.0, valence) * boost
