"""MMLU: multiple-choice questions from 57 subjects, answered by a language model without a single generated token.

The question is written out up to "Answer:", and the answer is the letter that the model finds likeliest to come next.

Source: Hendrycks et al. 2021, "Measuring Massive Multitask Language Understanding", arXiv 2009.03300; its files and its
prompt are those of github.com/hendrycks/test.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from intro2llm.evaluation.perplexity import evaluating
from intro2llm.tokenizer.base_tokenizer import BaseTokenizer

LETTERS = "ABCD"

_NAMES = """
abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry
college_computer_science college_mathematics college_medicine college_physics computer_security conceptual_physics
econometrics electrical_engineering elementary_mathematics formal_logic global_facts high_school_biology
high_school_chemistry high_school_computer_science high_school_european_history high_school_geography
high_school_government_and_politics high_school_macroeconomics high_school_mathematics high_school_microeconomics
high_school_physics high_school_psychology high_school_statistics high_school_us_history high_school_world_history
human_aging human_sexuality international_law jurisprudence logical_fallacies machine_learning management marketing
medical_genetics miscellaneous moral_disputes moral_scenarios nutrition philosophy prehistory
professional_accounting professional_law professional_medicine professional_psychology public_relations
security_studies sociology us_foreign_policy virology world_religions
"""

SUBJECTS = tuple(_NAMES.split())
"""The names of the 57 subjects, as in the names of their files."""


@dataclass(frozen=True)
class Question:
    """One question with its four choices."""

    subject: str
    question: str
    choices: tuple[str, str, str, str]
    answer: int
    """From 0 to 3: which choice is right."""


def load_mmlu(folder: str | Path, split: Literal["dev", "val", "test"]) -> list[Question]:
    """Read one split of a folder in MMLU's own layout: files such as folder/test/anatomy_test.csv.

    Each row of a file is a question, without a header: question, four choices, letter of the right choice. Subjects
    come in the order of `SUBJECTS`, questions in that of their file; a subject without a file is passed over.

    Raises:
        ValueError: there is no file of this split, or a row is not a question. One line, with file and row.
    """
    questions = []
    for subject in SUBJECTS:
        path = Path(folder, split, f"{subject}_{split}.csv")
        if not path.is_file():
            continue
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.reader(file, strict=True))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} cannot be read as MMLU's questions: {error}") from error
        for number, row in enumerate(rows, 1):
            if len(row) != 6 or row[5].strip() not in tuple(LETTERS):
                raise ValueError(f"{path}, row {number}: expected a question, four choices and a letter from A to D")
            questions.append(Question(subject, row[0], (row[1], row[2], row[3], row[4]), LETTERS.index(row[5].strip())))
    if not questions:
        raise ValueError(f"{folder} has no {split}/SUBJECT_{split}.csv with questions, as MMLU's own folder has")
    return questions


def format_question(question: Question, *, with_answer: bool = False) -> str:
    r"""Write a question as the model is to read it: what is asked, one line for each choice, and "Answer:".

    Without the answer the text ends with the colon. With it, a space, the letter of the right choice, and two newlines
    follow:

        "What is 2 + 2?\nA. 3\nB. 4\nC. 5\nD. 22\nAnswer:"          and          "…\nAnswer: B\n\n"
    """
    lines = [question.question, *(f"{letter}. {choice}" for letter, choice in zip(LETTERS, question.choices))]
    text = "\n".join(lines) + "\nAnswer:"
    return f"{text} {LETTERS[question.answer]}\n\n" if with_answer else text


def select_shots(question: Question, examples: Sequence[Question], n: int) -> list[Question]:
    """The worked examples that a question is preceded by: the first n of its own subject, in the order of `examples`.

    A question is never an example for itself: one equal to it is passed over. Fewer than n are returned if the subject
    has no more.
    """
    return [example for example in examples if example.subject == question.subject and example != question][:n]


def build_prompt(question: Question, shots: Sequence[Question] = ()) -> str:
    r"""All that the model reads before it answers.

    First the line "The following are multiple choice questions (with answers) about SUBJECT." and two newlines, where
    SUBJECT is the question's subject with spaces for underscores; then each shot with its answer, in the order given;
    then the question without its answer. The text ends with the colon.
    """
    subject = question.subject.replace("_", " ")
    header = f"The following are multiple choice questions (with answers) about {subject}.\n\n"
    return header + "".join(format_question(shot, with_answer=True) for shot in shots) + format_question(question)


def score_choices(model: nn.Module, prompt_ids: Sequence[int], choice_ids: Sequence[Sequence[int]]) -> Tensor:
    """The log-probability of each of several continuations of one prompt.

        score of (c₁, …, cₘ) = log p(c₁ | prompt) + log p(c₂ | prompt, c₁) + … + log p(cₘ | prompt, c₁, …, cₘ₋₁)

    Each is the score that it would have alone, whatever the length of the others. The model is called once for all of
    them, with rows that are padded on the right (by any token: no place sees what comes after it), and measured with
    `evaluating`.

    Args:
        model: as in `perplexity`. Ids are given to it on the device of its parameters.
        prompt_ids: at least one id.
        choice_ids: n continuations, each at least one id; their lengths may differ.

    Returns:
        (n,), float32 (float64 for float64 logits), on the device of the model: one sum for each continuation, in nats.

    Raises:
        ValueError: the prompt, or one of the continuations, has no token. The message contains "empty".
    """
    if not prompt_ids or not all(choice_ids):
        raise ValueError("the prompt and every choice must have at least one token; one of them is empty")
    # The last token of a choice is only judged, never read: choices of one token need one row together.
    prefixes = list(dict.fromkeys(tuple(choice[:-1]) for choice in choice_ids))
    longest = max(len(prefix) for prefix in prefixes)
    rows = [[*prompt_ids, *prefix, *[0] * (longest - len(prefix))] for prefix in prefixes]
    device = next(model.parameters()).device
    with evaluating(model):
        logits = model(torch.tensor(rows, device=device)).logits[:, len(prompt_ids) - 1 :]  # (rows, longest + 1, V)
        log_probs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)
        return torch.stack([log_probs[prefixes.index(tuple(c[:-1])), range(len(c)), list(c)].sum() for c in choice_ids])


def predict(
    model: nn.Module,
    tokenizer: BaseTokenizer,
    question: Question,
    shots: Sequence[Question] = (),
    *,
    max_length: int | None = None,
) -> int:
    """The model's answer: which of the continuations " A", " B", " C", " D" of the prompt has the highest score.

    The space belongs to the continuation, since it stands between colon and letter in the worked examples too. Prompt
    and continuations are encoded each by itself, without special tokens. Other tokens do not compete, however likely
    they are.

    Args:
        shots: the worked examples, as for `build_prompt`.
        max_length: at most so many tokens, prompt and longest continuation together, are given to the model. While they
            are more, the last shot is left out; if they are still more without any, the beginning of the prompt is cut
            off. None means no limit.

    Returns:
        From 0 to 3; on a tie, the first.
    """
    choice_ids = [tokenizer.encode(f" {letter}", add_special_tokens=False) for letter in LETTERS]
    prompt_ids = tokenizer.encode(build_prompt(question, shots), add_special_tokens=False)
    if max_length is not None:
        room = max_length - max(map(len, choice_ids))
        shots = list(shots)
        while len(prompt_ids) > room and shots:
            shots.pop()
            prompt_ids = tokenizer.encode(build_prompt(question, shots), add_special_tokens=False)
        prompt_ids = prompt_ids[max(0, len(prompt_ids) - room) :]
    return int(score_choices(model, prompt_ids, choice_ids).argmax())


@dataclass(frozen=True)
class Accuracy:
    """How many answers were right, in two averages that are not the same number."""

    micro: float
    """Right answers / questions: every question counts the same. MMLU's own headline figure."""
    macro: float
    """The mean of the subjects' accuracies: every subject counts the same."""
    by_subject: dict[str, float]


def accuracy(questions: Sequence[Question], predictions: Sequence[int]) -> Accuracy:
    """Compare predictions with the right answers.

    Args:
        predictions: from 0 to 3, one for each question, in the same order.

    Returns:
        The accuracies, from 0 to 1. `by_subject` has the subjects that occur, in the order of their first question.

    Raises:
        ValueError: there are no questions, or not as many predictions as questions. The message contains both numbers.
    """
    if not questions or len(questions) != len(predictions):
        raise ValueError(f"{len(predictions)} predictions for {len(questions)} questions: one for each is needed")
    right: dict[str, list[bool]] = {}
    for question, prediction in zip(questions, predictions):
        right.setdefault(question.subject, []).append(prediction == question.answer)
    by_subject = {subject: sum(answers) / len(answers) for subject, answers in right.items()}
    micro = sum(map(sum, right.values())) / len(questions)
    return Accuracy(micro, sum(by_subject.values()) / len(by_subject), by_subject)
