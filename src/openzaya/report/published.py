"""The report's own tables (arXiv 2605.05365), as numbers to stand beside what was measured.

Percent. The checkpoint of the TTC rows is the one before behavioural RL.
"""

from __future__ import annotations

MAIN_COLUMNS = (
    "ZAYA1-8B", "SFT checkpoint", "Qwen3-4B-Thinking-2507", "Qwen3.5-4B", "Gemma-4-E4B-it",
)  # fmt: skip
MAIN: dict[str, tuple[float | None, ...]] = {
    "AIME'26": (89.1, 68.3, 79.0, 84.5, 50.3),
    "HMMT'26": (71.6, 39.2, 53.6, 63.6, 32.1),
    "IMO-AnswerBench": (59.3, None, 51.6, 48.7, 27.3),
    "APEX-shortlist": (32.2, None, 17.1, 21.35, 6.1),
    "LCB-v6": (64.84, 54.8, 54.9, 55.8, 54.2),
    "GPQA-Diamond": (71.0, 59.3, 66.1, 76.2, 57.4),
    "MMLU-Pro": (74.2, 70.1, 74.3, 79.7, 70.2),
    "IFEval": (85.58, 66.6, 86.8, 89.8, 88.5),
    "IFBench": (52.56, 30.2, 52.9, 59.2, 42.7),
    "EQBench": (72.95, 57.8, 79.6, 79.5, 80.2),
    "Creative Writing": (62.97, 46.72, 58.6, 72.9, 83.8),
    "BFCL-v4": (40.50, 33.41, 49.7, 45.2, 31.7),
    "tau2": (36.3, 32.88, 52.9, 82.1, 37.7),
}
LARGER_COLUMNS = ("AIME'26", "HMMT'26", "LCB-v6", "IFEval", "GPQA-Diamond", "MMLU-Pro")
LARGER: dict[str, tuple[float, ...]] = {
    "Trinity-Mini 3B/26B": (59.6, 36.9, 33.3, 62.0, 46.8, 70.6),
    "Nemotron-3-Nano-30B": (90.1, 75.5, 64.6, 92.8, 75.1, 78.9),
    "OLMo-3.1-32B-Think": (78.9, 50.6, 58.3, 93.2, 59.6, 75.8),
    "Qwen3-Next-80B-A3B": (90.2, 79.3, 67.8, 88.5, 76.7, 82.6),
    "Intellect-3": (86.3, 72.3, 66.8, 81.2, 74.6, 82.3),
    "Mistral-Small-4-119B": (86.4, 70.6, 57.9, 84.0, 77.2, 81.6),
}
TTC: tuple[tuple[str, int, int, int, int, int, dict[str, float]], ...] = (
    ("Markovian baseline", 4, 16, 1, 8192, 4096, {"AIME'25": 82.1, "HMMT'25": 75.0}),
    ("M-RSA", 2, 16, 4, 8192, 4096, {"AIME'25": 86.5, "HMMT'25": 80.8}),
    ("M-RSA", 2, 16, 4, 16384, 4096, {"AIME'25": 88.8, "HMMT'25": 87.1}),
    ("M-RSA", 2, 16, 4, 40960, 4096, {"AIME'25": 91.9, "HMMT'25": 89.6}),
    ("M-RSA", 2, 16, 4, 40960, 8192, {"AIME'25": 90.8, "HMMT'25": 89.2}),
    ("light", 2, 16, 4, 8192, 4096, {"APEX-shortlist": 33.3}),
    ("high", 8, 16, 4, 16384, 4096, {"APEX-shortlist": 46.1}),
    ("extra-high", 8, 32, 4, 32768, 4096, {"APEX-shortlist": 51.8}),
)
"""(name, T, N, C, beta, tau, scores). K of the report is read as 1024."""
TTC_SINGLE = {"AIME'25": 88.3, "HMMT'25": 82.7, "APEX-shortlist": 32.2, "LCB-v6": 65.0}
TTC_COLUMNS = ("AIME'25", "HMMT'25", "APEX-shortlist")
