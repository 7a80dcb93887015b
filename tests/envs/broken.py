"""A small environment that is right, and one for every fault that admission must find."""

from __future__ import annotations

import random
import time

from openzaya.envs.base import GenerationFailed, fingerprint
from openzaya.types import Message, Outcome, Problem, Score


class Right:
    """Adds numbers; more of them at higher difficulty."""

    name, family, source, licence, version = "right", "arithmetic", "tests", "Apache-2.0", "1"

    def numbers(self, seed: int, difficulty: int) -> list[int]:
        rng = random.Random(f"{difficulty}:{seed}")
        return [rng.randint(10, 99) for _ in range(3 + difficulty)]

    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        numbers = self.numbers(seed, difficulty)
        prompt = f"Add {', '.join(map(str, numbers))}.\nGive the sum inside <answer></answer>."
        private = {"numbers": numbers, "sum": sum(numbers)}
        return Problem(self.name, seed, prompt, private, fingerprint(prompt), difficulty)

    def score(self, problem: Problem, answer: str | None) -> Score:
        right = (answer or "").strip() == f"<answer>{problem.private['sum']}</answer>"
        return Score(float(right), Outcome.CORRECT if right else Outcome.WRONG)

    def oracle(self, problem: Problem) -> Message | None:
        return Message("assistant", f"<answer>{problem.private['sum']}</answer>")


class DependsOnHashSeed(Right):
    def numbers(self, seed: int, difficulty: int) -> list[int]:
        return [10 + hash(f"{seed}:{i}") % 90 for i in range(3 + difficulty)]


class DrawsGlobally(Right):
    def numbers(self, seed: int, difficulty: int) -> list[int]:
        random.seed(seed)
        return [random.randint(10, 99) for _ in range(3 + difficulty)]


class DependsOnOrder(Right):
    calls = 0

    def numbers(self, seed: int, difficulty: int) -> list[int]:
        DependsOnOrder.calls += 1
        return [self.calls, *super().numbers(seed, difficulty)]


class WrongOracle(Right):
    def oracle(self, problem: Problem) -> Message | None:
        return Message("assistant", f"<answer>{problem.private['sum'] + problem.seed % 2}</answer>")


class BrokenOracle(Right):
    def oracle(self, problem: Problem) -> Message | None:
        raise KeyError("sum")


class TakesAnything(Right):
    def score(self, problem: Problem, answer: str | None) -> Score:
        return Score(1.0, Outcome.CORRECT if answer else Outcome.UNPARSEABLE)


class TakesLists(Right):
    def score(self, problem: Problem, answer: str | None) -> Score:
        right = str(problem.private["sum"]) in (answer or "").replace("<", " ").split(",")[0]
        right = right or str(problem.private["sum"]) in (answer or "")
        return Score(float(right), Outcome.CORRECT if right else Outcome.WRONG)


class PaysForJunk(Right):
    """Wrong by name, and paid nevertheless."""

    def score(self, problem: Problem, answer: str | None) -> Score:
        score = super().score(problem, answer)
        return score if score.correct else Score(0.6, Outcome.WRONG)


class OneAnswer(Right):
    def numbers(self, seed: int, difficulty: int) -> list[int]:
        rest = super().numbers(seed, difficulty)
        return [*rest, 1000 * (difficulty + 1) - sum(rest)]


class Raises(Right):
    def score(self, problem: Problem, answer: str | None) -> Score:
        int((answer or "0").removeprefix("<answer>").removesuffix("</answer>"))
        return super().score(problem, answer)


class BreaksQuietly(Right):
    def score(self, problem: Problem, answer: str | None) -> Score:
        if answer and "banana" in answer:
            return Score(0.0, Outcome.VERIFIER_ERROR, reason="no bananas")
        return super().score(problem, answer)


class SlowScorer(Right):
    def score(self, problem: Problem, answer: str | None) -> Score:
        if answer and "9**9" in answer:
            time.sleep(0.3)
        return super().score(problem, answer)


class FewProblems(Right):
    def numbers(self, seed: int, difficulty: int) -> list[int]:
        return super().numbers(seed % 4, difficulty)


class NeverHarder(Right):
    def numbers(self, seed: int, difficulty: int) -> list[int]:
        return super().numbers(seed + difficulty, 0)


class LosesTuples(Right):
    """Its private part holds what JSON does not."""

    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        problem = super().generate(seed, difficulty)
        numbers = tuple(problem.private["numbers"])
        private = {"numbers": numbers, "sum": sum(numbers)}
        return Problem(self.name, seed, problem.prompt, private, problem.fingerprint, difficulty)

    def score(self, problem: Problem, answer: str | None) -> Score:
        if not isinstance(problem.private["numbers"], tuple):
            return Score(0.0, Outcome.WRONG)
        return super().score(problem, answer)


class OftenWithout(Right):
    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        if seed % 3 == 0:
            raise GenerationFailed("no problem")
        return super().generate(seed, difficulty)


class NeverMakes(Right):
    def generate(self, seed: int, difficulty: int = 0) -> Problem:
        raise GenerationFailed("no problem at all")
