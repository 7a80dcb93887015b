"""The words of instructions and oracles: topics, plain English for drafts, other languages.

Drafts use short words without rare letters, digits, commas or apostrophes, so that they break few
rules by themselves. An oracle proves that a set of rules can be met; it is no model answer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True)
class Topic:
    request: str
    """What the answer is about, as a user would ask."""
    words: tuple[str, ...]
    """Words that an answer may well use: they are asked for, or forbidden."""


def _topic(request: str, words: str) -> Topic:
    return Topic(request, _words(words))


TOPICS = (
    _topic("Describe a lighthouse keeper's night in a storm.", "lamp storm waves keeper tower"),
    _topic("Explain how bread rises.", "yeast dough flour oven warmth"),
    _topic("Tell me how to plan a small vegetable garden.", "soil seeds water sunlight harvest"),
    _topic("Describe a morning at a busy train station.", "platform ticket crowd clock luggage"),
    _topic("Explain why leaves change colour in autumn.", "leaves autumn pigment sunlight frost"),
    _topic("Write about a lost letter that comes home.", "letter envelope stamp village memory"),
    _topic("Give advice to somebody who learns to swim.", "water breath lesson courage pool"),
    _topic("Describe the work of a watch maker.", "gears patience spring workshop clock"),
    _topic("Explain how a bicycle stays upright.", "wheel balance speed steering rider"),
    _topic("Tell a story about a cat in a library.", "library shelf whisker silence reader"),
    _topic("Compare living in a town with living in a village.", "noise quiet neighbour street"),
    _topic("Explain what a budget is to a teenager.", "money saving income spending plan"),
    _topic("Describe a market on a summer evening.", "market fruit music lantern crowd"),
    _topic("Explain how bees find their way.", "hive flower dance sunlight nectar"),
    _topic("Write a welcome note for a new colleague.", "team desk lunch welcome project"),
    _topic("Describe how a river shapes a valley.", "river valley stone flood current"),
    _topic("Explain why sleep matters.", "sleep memory rest habit health"),
    _topic("Tell a story about two rival bakers.", "bakery rival pastry contest sugar"),
    _topic("Explain how to pack for a week in the mountains.", "backpack boots tent weather map"),
    _topic("Describe an old theatre before the show.", "stage curtain actor velvet ticket"),
    _topic("Explain how a vaccine trains the body.", "vaccine immune antibody virus doctor"),
    _topic("Write about a robot that learns to paint.", "robot canvas brush colour studio"),
    _topic("Explain how ships float.", "ship water weight density harbour"),
    _topic("Describe the first snow of the year.", "snow silence window footprint winter"),
    _topic("Give tips for a calm job interview.", "interview question answer breath smile"),
    _topic("Explain what makes a fair game.", "rules players chance skill referee"),
)

READERS = (
    "", " Write for children.", " Write for experts.", " Write for a busy reader.",
    " Write for somebody who doubts it.", " Write for a local newspaper.", " Be playful.",
    " Be matter-of-fact.", " Be warm.", " Use plain language.",
)  # fmt: skip
"""What may follow a request: problems of one topic and one rule differ in it."""

KEYWORDS = _words(
    """
    anchor apple arrow autumn bargain basket beacon blanket bottle branch bridge bronze
    bucket button candle canyon carpet castle cellar cherry circle citizen climate compass
    copper corner cotton cradle crystal curtain danger desert diamond dinner dragon effort
    engine evening fabric falcon feather ferry festival figure forest fountain freedom
    garden gentle giant ginger glacier gravel guitar hammer hollow honest honey horizon
    hunter island ivory jacket jewel journey jungle kettle kingdom kitchen ladder lantern
    lemon legend linen magnet marble margin meadow melody mirror moment mountain needle
    nephew novel orange orchard origin oyster palace parade pepper pencil pillow pioneer
    planet pocket porter prairie puzzle quarry rabbit railway ribbon rocket saddle sailor
    salmon sandal season shadow shelter signal silver spider spring square stable station
    summer sunset tailor temple thunder ticket timber tunnel turtle umbrella uncle valley
    vessel violet voyage wagon walnut weather whisper willow window winter wisdom wonder
    yellow zebra
    """
)

_ADJECTIVES = _words(
    """
    old small calm bold neat warm cold soft tall late early clear plain quiet steady open
    kind proud round light dark green red blue grey deep wide slow fast fine rare
    """
)
_NOUNS = _words(
    """
    boat road tree bird stone roof gate lane hill field house door table lamp book coat bell
    shop road pond farm tool rope boot cart hall nest path pier sail seat song tent town
    tide
    """
)
_VERBS = _words(
    """
    finds sees leads needs meets holds helps passes reaches follows crosses greets moves
    keeps touches changes guards honours
    """
)
LONG_WORDS = _words(
    """
    extraordinary transportation understanding communication international characteristic
    responsibility circumstances determination neighbourhood straightforward accomplishment
    administration concentration considerable demonstration imagination
    """
)
HYPHENATED = _words(
    """
    well-kept long-lost sea-green half-open left-hand low-lying old-time part-time high-end
    self-made
    """
)
PLACES = ("near", "under", "behind", "beside", "past", "above", "around")
BY_LETTER = {
    "b": _words("bright brave birds bring big bold blue boats back by bells"),
    "c": _words("calm clever cats carry clean cold cups close crisp cloth"),
    "l": _words("little lamps lead long lanes left low loud late lights"),
    "m": _words("many merry men make modest meals most mild mornings"),
    "p": _words("proud poets paint plain pretty paths past pale ponds"),
    "s": _words("seven slow silver sails soon send soft steady songs south"),
    "t": _words("two tall trees throw ten tiny tender twigs together there"),
    "w": _words("warm winds wake white wide waves while wet willows wave"),
}
"""Words for alliteration."""
OPENERS = {
    "a": "Always", "b": "Beyond", "c": "Clearly", "d": "During", "e": "Even", "f": "First",
    "g": "Gladly", "h": "Here", "i": "Indeed", "k": "Kindly", "l": "Later", "m": "Maybe",
    "n": "Now", "o": "Often", "p": "Perhaps", "r": "Really", "s": "Soon", "t": "Then",
    "u": "Usually", "v": "Very", "w": "When", "y": "Yet",
}  # fmt: skip
"""Words that may open a sentence, by first letter."""
ACROSTICS = _words("sun tea map oak calm bread light stone music house river garden mother")
NAMES = _words(
    """
    Ana Bruno Carla Dora Emil Greta Hugo Irma Jonas Karin Lena Milo Nils Rosa
    """
)
EMOJI = tuple("😀🌊🌲🍞🚲🐱🎵🌙⭐🔥🎨🚀")

_SYLLABLES = _words(
    """
    ba be bo da de do fa fe fo ga ge go la le lo ma me mo na ne no ra re ro sa se so ta
    """
)


def invented(rng: random.Random) -> str:
    """A name that nobody has: there are as many as a problem may need."""
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(3, 4))) + rng.choice("lnrs")


def filler(rng: random.Random) -> str:
    """A plain sentence of seven words."""
    first, second = rng.sample(_NOUNS, 2)
    one, two = rng.sample(_ADJECTIVES, 2)
    return f"The {one} {first} {rng.choice(_VERBS)} the {two} {second}."


def adjective(rng: random.Random) -> str:
    return rng.choice(_ADJECTIVES)


def word_without(letters: str, rng: random.Random) -> str:
    """A plain noun that has none of `letters`."""
    fit = [noun for noun in (*_NOUNS, *_ADJECTIVES) if not set(letters) & set(noun)]
    return rng.choice(fit) if fit else "a"


def draft(rng: random.Random) -> str:
    """Three paragraphs of three sentences."""
    return "\n\n".join(" ".join(filler(rng) for _ in range(3)) for _ in range(3))


STOPWORDS = {
    "English": frozenset(_words("the of and to in is it that was for on with as at by this are")),
    "French": frozenset(
        _words(
            """
        le la les de des et un une est dans que qui pour sur pas avec au du ne se il
        elle
        """
        )
    ),
    "German": frozenset(
        _words(
            """
        der die das und ist nicht ein eine zu mit den dem von auf im sich es auch an sie
        """
        )
    ),
    "Spanish": frozenset(
        _words(
            """
        el la los las de y un una es en que por con no se del al lo su para muy
        """
        )
    ),
    "Italian": frozenset(
        _words(
            """
        il lo la gli le di e un una è che per con non si del della nel al sono più
        """
        )
    ),
    "Dutch": frozenset(
        _words(
            """
        de het een en van is niet in op dat met te voor zijn er aan ook als bij naar
        """
        )
    ),
}
FOREIGN = {
    "French": (
        "Le matin est calme dans la petite ville.",
        "Une vieille dame marche sur le pont avec un chien.",
        "Il ne pleut pas et les enfants jouent dans la rue.",
        "Le boulanger ouvre la porte de la maison.",
    ),
    "German": (
        "Der Morgen ist still und die Stadt liegt im Nebel.",
        "Eine alte Frau geht mit dem Hund auf die Wiese.",
        "Es regnet nicht und das Kind spielt an der Tür.",
        "Die Katze sitzt auf dem Dach und schaut zu.",
    ),
    "Spanish": (
        "El barco de la mañana no llega al puerto.",
        "Una mujer camina por la calle con un perro.",
        "No llueve y los niños juegan en la plaza.",
        "El pan de la casa es muy bueno.",
    ),
    "Italian": (
        "Il mare è calmo e la barca non si muove.",
        "Una donna cammina per la strada con il cane.",
        "Non piove e gli amici sono al mercato della piazza.",
        "Il pane di casa è più buono.",
    ),
    "Dutch": (
        "De boot ligt aan de kade en het water is stil.",
        "Een vrouw loopt met een hond naar het park.",
        "Het regent niet en er zijn kinderen op straat.",
        "Het brood van de bakker is ook voor de buren.",
    ),
}
SCRIPTS = {
    "Russian": (
        "CYRILLIC",
        ("Утром город ещё спит.", "Старая лодка стоит у берега.", "Дети играют во дворе."),
    ),
    "Greek": (
        "GREEK",
        ("Το πρωί η πόλη κοιμάται.", "Η βάρκα μένει στο λιμάνι.", "Τα παιδιά παίζουν έξω."),
    ),
    "Hebrew": (
        "HEBREW",
        ("העיר עוד ישנה בבוקר.", "הסירה עומדת ליד החוף.", "הילדים משחקים בחצר."),
    ),
    "Arabic": (
        "ARABIC",
        ("المدينة نائمة في الصباح.", "القارب عند الشاطئ.", "الأطفال يلعبون في الخارج."),
    ),
    "Hindi": (
        "DEVANAGARI",
        ("सुबह शहर सो रहा है.", "नाव किनारे पर खड़ी है.", "बच्चे बाहर खेल रहे हैं."),
    ),
    "Korean": (
        "HANGUL",
        ("아침에 도시는 조용하다.", "배는 항구에 있다.", "아이들은 밖에서 논다."),
    ),
}
"""Language -> (its script's name in Unicode, sentences)."""
