"""Distinct English-like text from counters alone: no clock, no random state, no text from elsewhere.

Words come from a table of our own, most frequent first, by Zipf's law; sentences, commas, paragraphs and capitals
stand where a hash of (seed, place) puts them. The same call gives the same text on every machine.
"""

from __future__ import annotations

import itertools

import numpy as np

_COMMON = """
i the to and a of my that it is in me for but have with so was on not be this you like what do feel just don't
can't when are about or if all at know they get as we i'm she how up out he more because don’t from want it's
really would one been time there people her think am even things going life now will your some help them no had make
day who can him his were never then than good anything something always other years after only back over work
feeling could still being much too go way has an every said by any down friend talk someone year right first
anxiety before need myself depression off therapy family into also see got best most mother week last school does
relationship home try same month long thought love through tell person where bad better point very started dad why
told around away job thing maybe myself live nothing again hard since ever their friends father hours here night
""".split()
_CONTENT = """
happy sleep stress panic worry doctor therapist counselor partner husband wife boyfriend girlfriend sister brother
child parent house room door phone money college class teacher boss office meeting session medication dose appointment
question answer reason problem moment morning evening weekend summer winter memory dream breath chest heart head body
hand voice sound silence anger fear shame guilt grief loss sadness hope trust comfort patience courage support habit
plan step goal list note letter message number minute start stop keep hold change move walk talk listen write read
learn teach show ask answer offer accept refuse avoid face notice remember forget wonder wait rest eat drink cook
clean drive travel visit call text meet leave stay return finish fail pass win lose share give take bring carry push
pull break fix build grow heal hurt cry laugh smile shout argue fight forgive blame praise judge compare decide choose
quiet loud heavy light slow quick early late alone together safe afraid nervous tired angry lonely numb empty strong
weak honest kind gentle strict distant close careful sudden constant small large simple complex certain unsure open
garden river window kitchen street train hospital church market mountain paper picture music movie story dinner coffee
weather season holiday birthday wedding divorce funeral accident illness pain scar wound fever headache appetite weight
energy focus attention control pressure balance boundary pattern trigger routine exercise breathing journal technique
strategy option approach example advice opinion belief value identity culture language community neighbor stranger
colleague manager student patient nurse group member leader expert professional service program insurance policy bill
respect tension conflict struggle effort progress result success mistake regret apology promise secret truth doubt
""".split()
_RARE = "naïve café fiancé 30 17 2019 e.g. ADHD PTSD OCD résumé—again 5 24/7 U.S. o'clock déjà".split()
_ENDINGS = ("s", "ed", "ing", "ly", "ness", "ful", "less", "er")
_SYLLABLES = "ba be bo da de do fa ga ha ja ka la le li lo lu ma me mi mo na ne no pa ra re ri ro sa se so ta te ti to va".split()

_GAPS = (" ", ", ", ". ", "? ", "! ", ".\n\n")
_ENDS = (2, 2, 2, 2, 2, 2, 3, 4, 5, 5)  # of ten sentences

_TABLE = 1 << 16


def mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 on uint64 values, in place."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def draws(count: int, *seeds: int) -> np.ndarray:
    """`count` uint64 numbers that depend on the seeds and their place alone."""
    start = 0x9E3779B97F4A7C15
    for seed in seeds:
        start = int(mix(np.array([start ^ (seed * 0xD6E8FEB86659FD93 % (1 << 64))], np.uint64))[0])
    return mix(np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start))


def shares(count: int, *seeds: int) -> np.ndarray:
    """Numbers in [0, 1): float64."""
    return (draws(count, *seeds) >> np.uint64(11)) * (1.0 / (1 << 53))


def lognormal(count: int, median: float, sigma: float, *seeds: int) -> np.ndarray:
    """Lengths with that median and that standard deviation of their logarithm (sum of 12 shares)."""
    normal = shares(12 * count, *seeds).reshape(count, 12).sum(axis=1) - 6
    return median * np.exp(sigma * normal)


def _words() -> list[str]:
    derived = [word + end for end, word in itertools.product(_ENDINGS, _CONTENT)]
    names = [(one + two).capitalize() for one, two in itertools.product(_SYLLABLES, _SYLLABLES)]
    return list(dict.fromkeys([*_COMMON, *_CONTENT, *_RARE, *derived, *names]))


def _tokens(words: list[str]) -> np.ndarray:
    """Every word with every gap after it, plain and with a capital: 12 tokens a word."""
    forms = ((word, word[0].upper() + word[1:]) for word in words)
    tokens = [form + gap for pair in forms for form in pair for gap in _GAPS]
    table = np.empty(len(tokens), object)
    table[:] = tokens
    return table


_WORDS = _words()
_TOKENS = _tokens(_WORDS)
_PLACE = np.searchsorted(
    np.cumsum(1 / (np.arange(len(_WORDS)) + 2.7)) / np.sum(1 / (np.arange(len(_WORDS)) + 2.7)),
    (np.arange(_TABLE) + 0.5) / _TABLE,
).astype(np.int32)  # Zipf-Mandelbrot: a 16-bit number to a word
CHARACTERS = 5.6  # of a word and its gap, on average


def texts(lengths: np.ndarray, *seeds: int) -> list[str]:
    """Texts of about these lengths in characters (3 words or more)."""
    counts = np.maximum(lengths / CHARACTERS, 3).astype(np.int64)
    total = int(counts.sum())
    numbers = draws(total, *seeds)
    word = _PLACE[(numbers & np.uint64(0xFFFF)).astype(np.int64)].astype(np.int64)
    gap = ((numbers >> np.uint64(16)) % np.uint64(11) == 0).astype(np.int64)
    sentence = (numbers >> np.uint64(24)) % np.uint64(14) == 0
    ends = np.cumsum(counts)
    sentence[ends - 1] = True
    kind = np.array(_ENDS, np.int64)[((numbers >> np.uint64(32)) % np.uint64(10)).astype(np.int64)]
    gap[sentence] = kind[sentence]
    first = np.zeros(total, np.int64)
    first[1:][sentence[:-1]] = 1
    first[0] = 1
    pieces = _TOKENS[word * 12 + first * 6 + gap].tolist()
    bounds = [0, *ends.tolist()]
    return ["".join(pieces[start:stop]).rstrip() for start, stop in itertools.pairwise(bounds)]
