"""Test constraints of IFBench (arXiv 2507.02833): none of them may be trained on.

Names as in the registry of github.com/allenai/IFBench. A rule of ours that comes near one of them
says in its docstring how it differs; `docs/instructions.md` has the list.
"""

from __future__ import annotations

IFBENCH = frozenset(
    [
        "count:word_count_range",
        "count:unique_word_count",
        "count:conjunctions",
        "count:person_names",
        "count:numbers",
        "count:punctuation",
        "count:words_japanese",
        "count:pronouns",
        "count:keywords_multiple",
        "ratio:stop_words",
        "ratio:sentence_type",
        "ratio:sentence_balance",
        "ratio:overlap",
        "ratio:sentence_words",
        "words:alphabet",
        "words:vowel",
        "words:consonants",
        "words:palindrome",
        "words:prime_lengths",
        "words:start_verb",
        "words:repeats",
        "words:odd_even_syllables",
        "words:last_first",
        "words:paragraph_last_first",
        "words:no_consecutive",
        "words:keywords_specific_position",
        "words:words_position",
        "sentence:alliteration_increment",
        "sentence:keyword",
        "sentence:increment",
        "format:parentheses",
        "format:quotes",
        "format:options",
        "format:newline",
        "format:emoji",
        "format:line_indent",
        "format:quote_unquote",
        "format:list",
        "format:thesis",
        "format:sub-bullets",
        "format:no_bullets_bullets",
        "format:title_case",
        "format:output_template",
        "format:no_whitespace",
        "custom:multiples",
        "custom:mcq_count_length",
        "custom:reverse_newline",
        "custom:word_reverse",
        "custom:character_reverse",
        "custom:sentence_alphabet",
        "custom:european_capitals_sort",
        "custom:csv_city",
        "custom:csv_special_character",
        "custom:csv_quotes",
        "custom:date_format_list",
        "repeat:repeat_change",
        "repeat:repeat_simple",
        "repeat:repeat_span",
    ]
)


def plain(name: str) -> str:
    """A name in one spelling: without its group, in lower case, with underscores."""
    return name.rpartition(":")[2].lower().replace("-", "_").replace(" ", "_")


def held_out(kind: str) -> bool:
    """Whether a kind of rule bears the name of a test constraint of IFBench."""
    return plain(kind) in {plain(name) for name in IFBENCH}
