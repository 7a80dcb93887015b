"""Characters stay characters, constant text is cheap, and nothing is lost or guessed."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openzaya.chat import (
    END_THINK,
    IM_END,
    SPECIAL_TOKENS,
    TEMPLATE,
    THINK,
    conversation_pieces,
    prompt_pieces,
)
from openzaya.errors import CheckpointError, DataError
from openzaya.tokenizer import Tokenizer, build_phrase_tokenizer, constant_text
from openzaya.types import Message

ALPHABET = string.ascii_letters + string.digits + string.punctuation + " \n"
ROLES = ("user\n", "assistant\n", "system\n")
ADD = "State the final answer: "
KEEP_TAIL = "\nReturn the new list."


def _prompts() -> dict[str, list[str]]:
    rng = random.Random(1)
    numbers = [(rng.randrange(1000), rng.randrange(1000)) for _ in range(40)]
    verbs = [(rng.choice(["Keep", "Remove"]), rng.choice(["larger", "smaller"])) for _ in numbers]
    return {
        "add": [f"{ADD}{a} + {b} =" for a, b in numbers],
        "spell": [f"Spell backward: {''.join(rng.choices('abcdef', k=5))}" for _ in numbers],
        "filter": [
            f"{verb} all numbers {size} than {a} in ['{b}', '{a}']{KEEP_TAIL}"
            for (verb, size), (a, b) in zip(verbs, numbers, strict=True)
        ],
    }


TOKENIZER = build_phrase_tokenizer(_prompts(), ROLES, ALPHABET)


def _tokens(text: str) -> list[str]:
    return [str(TOKENIZER.inner.id_to_token(i)) for i in TOKENIZER.encode(text)]


_pieces = st.one_of(
    st.text(ALPHABET, max_size=12),
    st.sampled_from([*ROLES, ADD, KEEP_TAIL, "all", "numbers", "larger", *SPECIAL_TOKENS]),
)


@given(st.lists(_pieces, max_size=8).map("".join))
def test_decoding_gives_the_text_back(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids, skip_special=False) == text
    assert all(0 <= i < TOKENIZER.vocab_size for i in ids)


@given(st.text(string.digits + "+-. ", max_size=30))
def test_numbers_are_never_merged(text: str) -> None:
    assert _tokens(text) == list(text)


def test_a_prompt_costs_its_variable_part() -> None:
    ids = TOKENIZER.prompt_ids([Message("user", f"{ADD}12 + 3 =")])
    head = ["<bos>", "<|im_start|>", "user\n", ADD]
    tail = ["<|im_end|>", "\n", "<|im_start|>", "assistant\n", "<think>"]
    tokens = [TOKENIZER.inner.id_to_token(i) for i in ids]
    assert tokens == [*head, *"12 + 3 =", *tail]


def test_varying_phrasing_is_split_into_words() -> None:
    words = ["Remove", " ", "all", " ", "numbers", " ", "smaller", " ", "than", " "]
    text = f"Remove all numbers smaller than 7 in ['5']{KEEP_TAIL}"
    assert _tokens(text) == [*words, *"7 in ['5']", KEEP_TAIL]


def test_a_word_token_stays_out_of_other_words() -> None:
    assert _tokens("ball") == list("ball")
    assert _tokens("all") == ["all"]


def test_constant_text_leaves_the_edges_to_the_variable_part() -> None:
    # All samples share a leading "-1", a trailing "0." and the stem "num": none is phrasing.
    samples = [f"Compute the value of -1{i}0. for the num{'x' * i} and stop" for i in range(20)]
    phrases, words = constant_text("task", samples)
    assert phrases == ["Compute the value of ", " and stop"]
    assert set(words) == {"for", "the"}


def test_a_wholly_constant_prompt_is_one_phrase() -> None:
    assert constant_text("task", ["Say the word 7."] * 16) == (["Say the word 7."], [])


def test_too_few_prompts_are_refused() -> None:
    with pytest.raises(DataError, match="add: 3 prompts"):
        constant_text("add", ["a 1", "a 2", "a 3"])


def test_building_is_deterministic_and_ignores_task_order() -> None:
    reordered = dict(reversed(_prompts().items()))
    again = build_phrase_tokenizer(reordered, ROLES[::-1], ALPHABET[::-1])
    assert again.inner.to_str() == TOKENIZER.inner.to_str()


def test_characters_of_prompts_join_the_alphabet() -> None:
    tokenizer = build_phrase_tokenizer({"t": [f"Größe {i}" for i in range(16)]}, [], "abc")
    assert tokenizer.decode(tokenizer.encode("ößa")) == "ößa"


def test_unknown_characters_are_an_error() -> None:
    with pytest.raises(DataError, match="'é', '→'"):
        TOKENIZER.encode("café → tea")


@pytest.mark.parametrize("phrase", ["stop <|im_end|>", "read on <", "a <|im_", "<bos>"])
def test_phrases_may_not_overlap_special_tokens(phrase: str) -> None:
    with pytest.raises(DataError, match="overlaps the special token"):
        build_phrase_tokenizer({}, [phrase], ALPHABET)


def test_special_ids_and_skipping() -> None:
    assert [TOKENIZER.pad_id, TOKENIZER.bos_id, TOKENIZER.im_start_id] == [0, 1, 2]
    assert [TOKENIZER.im_end_id, TOKENIZER.think_id, TOKENIZER.end_think_id] == [3, 4, 5]
    ids = TOKENIZER.encode_pieces([THINK, "ab", END_THINK, "7", IM_END])
    assert TOKENIZER.decode(ids) == "ab7"
    assert TOKENIZER.decode(ids, skip_special=False) == "<think>ab</think>7<|im_end|>"


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_text_that_spells_a_special_token_stays_text(token: str) -> None:
    spelled = str(token)
    user = [Message("user", f"7{spelled}8")]
    ids, plain = TOKENIZER.prompt_ids(user), TOKENIZER.prompt_ids([Message("user", "78")])
    assert ids.count(TOKENIZER.encode_pieces([token])[0]) == plain.count(
        TOKENIZER.encode_pieces([token])[0]
    )
    assert spelled in TOKENIZER.decode(ids)  # skipping drops tokens, not letters


def test_save_and_load(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path / "tokenizer")
    loaded = Tokenizer.load(tmp_path / "tokenizer")
    assert loaded.inner.to_str() == TOKENIZER.inner.to_str()
    text = f"{ADD}12 + 3 =\nball all"
    assert loaded.encode(text) == TOKENIZER.encode(text)
    with pytest.raises(DataError):  # the alphabet is known after loading, too
        loaded.encode("é")
    config = json.loads((tmp_path / "tokenizer" / "tokenizer_config.json").read_text())
    assert config["eos_token"] == "<|im_end|>" and not config["clean_up_tokenization_spaces"]


@pytest.mark.peer
def test_transformers_loads_what_we_save(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    TOKENIZER.save(tmp_path)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    ids = TOKENIZER.conversation_ids([Message("user", f"{ADD}12 + 3 = , a .")])
    text = f"<bos><|im_start|>user\n{ADD}12 + 3 = , a .<|im_end|>"
    assert theirs.encode(text, add_special_tokens=False) == ids
    assert theirs.decode(ids) == text
    assert (theirs.eos_token_id, theirs.pad_token_id) == (TOKENIZER.im_end_id, TOKENIZER.pad_id)


CONVERSATION = [
    Message("system", "Be brief."),
    Message("user", f"{ADD}12 + 3 = "),
    Message("assistant", "15", reasoning="2 + 3 = 5"),
    Message("user", f"{ADD}1 + 1 = "),
]


@pytest.mark.parametrize("turns", [2, 3, 4])
@pytest.mark.parametrize("prompt", [True, False])
def test_the_chat_template_is_our_chat_form(turns: int, prompt: bool) -> None:
    messages = CONVERSATION[:turns]
    plain = [
        {"role": m.role, "content": m.content, "reasoning_content": m.reasoning} for m in messages
    ]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # as transformers does
    text = environment.from_string(TEMPLATE).render(messages=plain, add_generation_prompt=prompt)
    pieces = prompt_pieces(messages) if prompt else conversation_pieces(messages)
    assert text == "<bos>" + "".join(pieces)


@pytest.mark.peer
def test_transformers_applies_the_chat_template(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    TOKENIZER.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    messages = [Message("user", f"{ADD}12 + 3 = ")]
    ids = theirs.apply_chat_template(
        [{"role": "user", "content": messages[0].content}], add_generation_prompt=True
    )
    assert list(ids["input_ids"]) == TOKENIZER.prompt_ids(messages)


def test_loading_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(CheckpointError, match="is not a tokenizer"):
        Tokenizer.load(tmp_path)


def test_a_tokenizer_without_chat_tokens_is_refused(tmp_path: Path) -> None:
    broken = TOKENIZER.inner.to_str().replace("<think>", "<other>")
    (tmp_path / "tokenizer.json").write_text(broken)
    with pytest.raises(DataError, match="no <think> token"):
        Tokenizer.load(tmp_path)
