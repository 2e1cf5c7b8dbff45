"""First contact with lesson 09: every task on an example that you can work out by hand."""

import contextlib
import io
import math
import re
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursecli.expect import (
    diagnosing,
    expect,
    expect_close,
    expect_equal,
    expect_raises,
    expect_text,
    expect_tokens,
    expect_unchanged,
)
from intro2llm.evaluation.humaneval import (
    Problem,
    build_program,
    check_completion,
    pass_at_k,
    pass_rates,
    sample_completions,
    truncate_at_stop,
)
from intro2llm.evaluation.mmlu import (
    Question,
    accuracy,
    build_prompt,
    format_question,
    predict,
    score_choices,
    select_shots,
)
from intro2llm.evaluation.perplexity import (
    evaluate_perplexity,
    evaluating,
    strided_nll,
    token_losses,
    token_nll,
)


class TableModel(nn.Module):
    """A language model that looks at one token: row i of the table has the probabilities of what follows token i."""

    def __init__(self, probabilities: list[list[float]]) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor(probabilities, dtype=torch.float64).log())
        self.read: list[Tensor] = []

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        self.read.append(input_ids.clone())
        return SimpleNamespace(logits=F.embedding(input_ids, self.table))  # an id that is no token is an IndexError


def three_tokens() -> TableModel:
    """The model of the README's first worked example."""
    return TableModel([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])


class Words:
    """A tokenizer whose tokens are words with the space before them, single marks, and single white space."""

    eos_token_id = 0
    pad_token_id = 0
    bos_token_id = 1

    def __init__(self) -> None:
        self.tokens = ["<end>", "<bos>"]

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        pieces = re.findall(r" ?\w+|\s| ?[^\w\s]", text)
        for piece in pieces:
            if piece not in self.tokens:
                self.tokens.append(piece)
        ids = [self.tokens.index(piece) for piece in pieces]
        return [self.bos_token_id, *ids, self.eos_token_id] if add_special_tokens else ids

    def encode_batch(self, texts: Sequence[str], *, return_tensors: str | None = None, **options: object) -> dict:
        rows = [self.encode(text) for text in texts]
        ones = [[1] * len(row) for row in rows]
        make = torch.tensor if return_tensors else list
        return {"input_ids": make(rows), "attention_mask": make(ones)}

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        ids = [int(i) for i in ids]
        return "".join(self.tokens[i] for i in ids if i > 1 or not skip_special_tokens)


class FixedModel(nn.Module):
    """Gives the same score to a token wherever it stands: 0, or what `favourites` says."""

    def __init__(self, favourites: dict[int, float], vocab_size: int = 300) -> None:
        super().__init__()
        scores = torch.zeros(vocab_size, dtype=torch.float64)
        for token, score in favourites.items():
            scores[token] = score
        self.scores = nn.Parameter(scores)
        self.read: list[Tensor] = []

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        self.read.append(input_ids.clone())
        return SimpleNamespace(logits=self.scores.expand(*input_ids.shape, -1))


# -------------------------------------------------------------------------------------------------------- evaluating


@pytest.mark.task("evaluating")
def test_evaluating_switches_training_off_and_back() -> None:
    """Inside, every part is in evaluation mode and nothing is recorded; afterwards each is in the mode it had."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2)))
    model.train()
    model[1].eval()  # a part that is frozen
    before = [module.training for module in model.modules()]
    with evaluating(model):
        inside = [module.training for module in model.modules()]
        output = model(torch.ones(2, 3))
    expect_equal(
        inside, [False] * 5, what="module.training of the five modules, inside evaluating", mistake="no-eval-mode"
    )
    expect(
        not output.requires_grad,
        "A graph was recorded.",
        what="an output that was computed inside evaluating",
        mistake="no-no-grad",
    )
    expect_equal(
        [module.training for module in model.modules()],
        before,
        what="module.training of model, Linear, part, Dropout, Linear after evaluating; the part was frozen before",
        lookalikes={"mode-not-restored": [False] * 5, "mode-of-all": [True] * 5},
    )
    expect(torch.is_grad_enabled(), "It is off.", what="the recording of gradients after evaluating")


# --------------------------------------------------------------------------------------------------------- token-nll


@pytest.mark.task("token-nll")
def test_token_losses_worked_example() -> None:
    """The text 0 1 1 2 0 under a table of three tokens: each token costs -log of what the one before gave it."""
    text = torch.tensor([[0, 1, 1, 2, 0]])
    expect_close(
        token_losses(three_tokens(), text, text).detach(),
        -torch.tensor([[0.25, 0.8, 0.1, 0.2]], dtype=torch.float64).log(),
        what="token_losses of 0 1 1 2 0",
        dims="B T-1",
        lookalikes={
            "no-shift": lambda: -torch.tensor([[0.5, 0.8, 0.8, 0.6]], dtype=torch.float64).log(),
            "no-shift-all-places": lambda: -torch.tensor([[0.5, 0.8, 0.8, 0.6, 0.5]], dtype=torch.float64).log(),
            "shifted-twice": lambda: -torch.tensor([[0.25, 0.1, 0.1]], dtype=torch.float64).log(),
            "log-prob-sign": lambda: torch.tensor([[0.25, 0.8, 0.1, 0.2]], dtype=torch.float64).log(),
            "shift-backwards": lambda: -torch.tensor([[0.1, 0.8, 0.2, 0.25]], dtype=torch.float64).log(),
            "bits-not-nats": lambda: -torch.tensor([[0.25, 0.8, 0.1, 0.2]], dtype=torch.float64).log2(),
            "token-zero-ignored": lambda: -torch.tensor([[0.25, 0.8, 0.1, 1]], dtype=torch.float64).log(),
            "reshaped-not-transposed": lambda: F.cross_entropy(
                three_tokens().table.detach()[text[:, :-1]].reshape(1, 3, 4), text[:, 1:], reduction="none"
            ),
        },
    )


@pytest.mark.task("token-nll")
def test_token_nll_worked_example() -> None:
    """The four losses of the text together, and their number, as a float and an int."""
    text = torch.tensor([[0, 1, 1, 2, 0]])
    result = token_nll(three_tokens(), text, text)
    expect_equal(type(result), tuple, what="the type of what token_nll returns")
    nll, tokens = result
    losses = [-math.log(p) for p in (0.25, 0.8, 0.1, 0.2)]
    expect_equal(
        [type(nll), type(tokens)],
        [float, int],
        what="the types of sum and count",
        mistake="nll-not-numbers",
    )
    expect_close(
        nll,
        sum(losses),
        what="the sum of the losses of 0 1 1 2 0",
        lookalikes={"nll-mean": sum(losses) / 4, "nll-mean-of-all": sum(losses) / 5},
    )
    expect_equal(
        tokens,
        4,
        what="the number of predictions in a text of five tokens",
        lookalikes={"first-counted": 5, "zero-not-counted": 3},
    )


@pytest.mark.task("token-nll")
def test_labels_say_what_is_scored() -> None:
    """Under -100 nothing is scored, and a label need not be the token that stands there."""
    ids = torch.tensor([[0, 1, 1, 2, 0], [2, 0, 1, 1, 1]])
    labels = torch.tensor([[0, 1, -100, 2, 1], [2, -100, -100, 1, -100]])
    with expect_unchanged([ids, labels], what="input_ids and labels", mistake="labels-changed"):
        losses = token_losses(three_tokens(), ids, labels).detach()
        nll, tokens = token_nll(three_tokens(), ids, labels)
    expect_close(
        losses,
        -torch.tensor([[0.25, 1, 0.1, 0.2], [1, 1, 0.8, 1]], dtype=torch.float64).log(),
        what="token_losses under labels of which four can be scored",
        dims="B T-1",
        lookalikes={
            "labels-not-used": lambda: (
                -torch.tensor([[0.25, 0.8, 0.1, 0.2], [0.2, 0.25, 0.8, 0.8]], dtype=torch.float64).log()
            ),
            "ignored-as-token-zero": lambda: (
                -torch.tensor([[0.25, 0.1, 0.1, 0.2], [0.2, 0.5, 0.8, 0.1]], dtype=torch.float64).log()
            ),
        },
    )
    expect_close(nll, -math.log(0.25 * 0.1 * 0.2 * 0.8), what="the sum of the four")
    expect_equal(
        tokens,
        4,
        what="the number of predictions: labels that are not -100, but for the first of each row",
        lookalikes={"first-counted": 6, "all-places-counted": 8, "last-not-first": 5},
    )


# -------------------------------------------------------------------------------------------------------- perplexity


@pytest.mark.task("corpus-perplexity")
def test_every_token_has_one_vote() -> None:
    """Eight tokens that cost 1 nat each and two that cost 3 have the loss 1.4, not 2."""
    one, three = math.exp(-1), math.exp(-3)
    model = TableModel([[one, 1 - one], [1 - three, three]])
    zeros, ones = torch.zeros(2, 5, dtype=torch.long), torch.ones(1, 3, dtype=torch.long)
    batches = [{"input_ids": ids, "labels": ids} for ids in (zeros, ones)]
    result = evaluate_perplexity(model, batches)
    expect_equal(sorted(result), ["loss", "perplexity", "tokens"], what="the keys of the result")
    expect_close(
        result["loss"],
        1.4,
        what="the loss of 8 tokens at 1 nat and 2 tokens at 3 nats",
        lookalikes={
            "batch-means": 2.0,
            "weighted-by-rows": 5 / 3,
            "first-batch-only": 1.0,
            "labels-counted": 14 / 13,
            "loss-summed": 14.0,
            "labels-weigh": (10 * 1 + 3 * 3) / 13,
        },
    )
    expect_close(
        result["perplexity"],
        math.exp(1.4),
        what="its perplexity",
        lookalikes={
            "perplexity-means": (math.e + math.exp(3)) / 2,
            "perplexity-base-2": 2**1.4,
            "perplexity-below-one": math.exp(-1.4),
        },
    )
    expect_equal(int(result["tokens"]), 10, what="the number of predictions")


# ----------------------------------------------------------------------------------------------------------- strided


@pytest.mark.task("strided")
def test_strided_windows_worked_example() -> None:
    """Ten tokens, windows of six, stride four: tokens 0-5 and 4-9 are read, and each of nine targets counts once."""
    model = three_tokens()
    text = torch.tensor([0, 1, 1, 2, 0, 0, 2, 1, 1, 0])
    cost = [-math.log(p) for p in (0.25, 0.8, 0.1, 0.2, 0.5, 0.25, 0.2, 0.8, 0.1)]
    with diagnosing("ids-overwritten", IndexError):
        nll, tokens = strided_nll(model, text, max_length=6, stride=4)
    expect_equal(
        tokens,
        9,
        what="how many tokens were scored",
        lookalikes={
            "windows-apart": 8,
            "overlap-counted-twice": 10,
        },
    )
    expect_close(
        nll,
        sum(cost),
        what="the sum over the nine targets",
        lookalikes={
            "overlap-counted-twice": sum(cost) + cost[4],
            "windows-apart": sum(cost) - cost[5],
            "strided-mean": sum(cost) / 9,
        },
    )
    read = [ids.flatten().tolist()[:5] for ids in model.read]
    expect_equal(
        read,
        [text[:5].tolist(), text[4:9].tolist()],
        what="the first five tokens of each window that the model read",
        lookalikes={
            "window-too-long": [text[:5].tolist(), text[3:8].tolist()],
            "one-window": [text[:5].tolist()],
            "stride-as-overlap": [text[begin : begin + 5].tolist() for begin in (0, 2, 4)],
        },
    )


# ------------------------------------------------------------------------------------------------------- mmlu-prompt

SUM = Question("elementary_mathematics", "What is 2 + 2?", ("3", "4", "5", "22"), 1)
PRODUCT = Question("elementary_mathematics", "What is 2 x 3?", ("6", "5", "23", "8"), 0)
BONE = Question("anatomy", "Which is a bone?", ("aorta", "liver", "femur", "iris"), 2)


@pytest.mark.task("mmlu-prompt")
def test_format_question_to_the_byte() -> None:
    """Question, four lettered lines, and "Answer:" with nothing behind the colon."""
    wanted = "What is 2 + 2?\nA. 3\nB. 4\nC. 5\nD. 22\nAnswer:"
    expect_text(
        format_question(SUM),
        wanted,
        what="format_question without the answer",
        lookalikes={
            "space-after-colon": wanted + " ",
            "newline-after-colon": wanted + "\n",
            "answer-leaks": wanted + " B\n\n",
            "letters-with-bracket": wanted.replace(". ", ") "),
            "question-announced": "Question: " + wanted,
        },
    )
    expect_text(
        format_question(SUM, with_answer=True),
        wanted + " B\n\n",
        what="format_question with the answer",
        lookalikes={
            "answer-as-text": wanted + " 4\n\n",
            "answer-as-number": wanted + " 1\n\n",
            "answer-one-newline": wanted + " B\n",
            "answer-no-space": wanted + "B\n\n",
        },
    )


@pytest.mark.task("mmlu-prompt")
def test_shots_are_of_the_same_subject() -> None:
    """Only questions of the same subject are worked examples."""
    examples = [BONE, PRODUCT]
    expect_equal(
        select_shots(SUM, examples, 1),
        [PRODUCT],
        what="one shot for a sum, out of a question on bones and one on products",
        lookalikes={"shots-any-subject": [BONE], "shots-cut-first": []},
    )


@pytest.mark.task("mmlu-prompt")
def test_prompt_to_the_byte() -> None:
    """The line on the subject, one worked example, and the question without its answer."""
    head = "The following are multiple choice questions (with answers) about elementary mathematics.\n\n"
    shot = "What is 2 x 3?\nA. 6\nB. 5\nC. 23\nD. 8\nAnswer:"
    question = "What is 2 + 2?\nA. 3\nB. 4\nC. 5\nD. 22\nAnswer:"
    expect_text(
        build_prompt(SUM, [PRODUCT]),
        f"{head}{shot} A\n\n{question}",
        what="the prompt with one shot",
        lookalikes={
            "answer-leaks": f"{head}{shot} A\n\n{question} B\n\n",
            "shots-without-answers": f"{head}{shot}{question}",
            "shots-dropped": f"{head}{question}",
            "header-missing": f"{shot} A\n\n{question}",
            "header-underscore": f"{head}{shot} A\n\n{question}".replace("y m", "y_m"),
            "blank-line-more": f"{head}{shot} A\n\n\n{question}",
            "header-two-spaces": f"{head}{shot} A\n\n{question}".replace("about ", "about  "),
            "header-each-time": f"{head}{shot} A\n\n{head}{question}",
        },
    )


# ----------------------------------------------------------------------------------------------------- score-choices


@pytest.mark.task("score-choices")
def test_score_choices_worked_example() -> None:
    """After the prompt 2 0, the continuations (1) and (1, 1, 2) have the probabilities 0.25 and 0.25 · 0.8 · 0.1."""
    model = three_tokens()
    short, long = math.log(0.25), math.log(0.25 * 0.8 * 0.1)
    last_place = math.log(0.6)  # what the table says behind a 2, or behind padding
    with diagnosing("padding-is-no-token", IndexError):
        scores = score_choices(model, [2, 0], [[1], [1, 1, 2]])
    expect_close(
        scores.detach(),
        torch.tensor([short, long], dtype=torch.float64),
        what="the scores of (1) and (1, 1, 2) after 2 0",
        lookalikes={
            "first-token-only": torch.tensor([short, short], dtype=torch.float64),
            "mean-not-sum": torch.tensor([short, long / 3], dtype=torch.float64),
            "last-token-only": torch.tensor([short, math.log(0.1)], dtype=torch.float64),
            "probabilities": torch.tensor([0.25, 0.02], dtype=torch.float64),
            "prompt-scored-too": torch.tensor([short, long], dtype=torch.float64) + math.log(0.2),
            "padding-scored": torch.tensor([math.log(0.25 * 0.1 * 0.5), long], dtype=torch.float64),
            "negative-log": torch.tensor([-short, -long], dtype=torch.float64),
            "choices-renormalised": lambda: torch.tensor([short, long], dtype=torch.float64).log_softmax(0),
            "scores-unshifted": torch.tensor([math.log(0.8), math.log(0.8 * 0.8) + last_place], dtype=torch.float64),
        },
    )
    read = model.read[0].tolist()
    expect(
        all([2, 0] in [row[i : i + 2] for i in range(len(row))] for row in read),
        "No.",
        what="whether the prompt 2 0 stands in every row that the model read",
        actual=str(read),
        mistake="prompt-not-read",
    )


@pytest.mark.task("score-choices")
def test_score_choices_are_log_probabilities() -> None:
    """Scores are normalised over the vocabulary: a constant on all logits changes nothing."""
    model = FixedModel({3: 2.0, 4: 1.0}, vocab_size=6)
    with torch.no_grad():
        model.scores += 5.0
    wanted = torch.tensor([2.0, 1.0, 3.0], dtype=torch.float64)
    wanted = wanted - math.log(math.exp(2) + math.exp(1) + 4) * torch.tensor([1, 1, 2])
    expect_close(
        score_choices(model, [1], [[3], [4], [3, 4]]).detach(),
        wanted,
        what="three scores under logits of 7, 6 and four times 5",
        lookalikes={"raw-logits": torch.tensor([7.0, 6.0, 13.0], dtype=torch.float64)},
    )


# ----------------------------------------------------------------------------------------------------------- predict


@pytest.mark.task("predict")
def test_predict_scores_the_letter_with_its_space() -> None:
    """The model prefers " C", and after it "A" without a space: the answer is C."""
    words = Words()
    letters = {letter: words.encode(letter)[0] for letter in "ABCD"}
    spaced = {letter: words.encode(f" {letter}")[0] for letter in "ABCD"}
    model = FixedModel({spaced["C"]: 5.0, letters["A"]: 4.0, letters["D"]: 9.0, words.encode(" the")[0]: 9.5})
    answer = predict(model, words, SUM)
    expect_equal(
        type(answer),
        int,
        what="the type of the answer",
        mistake="answer-is-a-letter" if isinstance(answer, str) else None,
    )
    expect_equal(
        answer,
        2,
        what='the answer of a model whose scores are " C": 5, "A": 4, "D": 9, " the": 9.5, all others 0',
        lookalikes={"letter-without-space": 3, "answer-read": 1, "always-a": 0, "argmax-over-vocabulary": -1},
    )


@pytest.mark.task("predict")
def test_the_model_reads_the_shots() -> None:
    """What the model is given is the whole prompt, worked examples included."""
    words = Words()
    model = FixedModel({})
    predict(model, words, SUM, [PRODUCT])
    expect(bool(model.read), "It was not called.", what="the model")
    prompt = words.encode(build_prompt(SUM, [PRODUCT]))
    bare = words.encode(build_prompt(SUM))
    row = model.read[-1][0].tolist()
    expect_tokens(
        row[: len(prompt)],
        prompt,
        what="the tokens that the model read",
        lookalikes={
            "shots-not-used": bare,
            "prompt-with-special-tokens": [words.bos_token_id, *prompt][: len(prompt)],
        },
    )


# ---------------------------------------------------------------------------------------------------------- accuracy


@pytest.mark.task("accuracy")
def test_two_averages_worked_example() -> None:
    """Three sums right, one bone wrong: three quarters of the questions, and half, counted by subjects."""
    result = accuracy([SUM, PRODUCT, SUM, BONE], [1, 0, 1, 0])
    expect_close(
        [result.micro, result.macro],
        [0.75, 0.5],
        what="the micro and the macro average",
        lookalikes={
            "macro-as-micro": [0.5, 0.5],
            "micro-as-macro": [0.75, 0.75],
            "averages-swapped": [0.5, 0.75],
            "accuracy-in-percent": [75.0, 50.0],
            "macro-over-all-subjects": [0.75, 1 / 57],
            "right-answers-per-subject": [0.75, 1.5],
        },
    )
    expect_equal(
        dict(result.by_subject), {"elementary_mathematics": 1.0, "anatomy": 0.0}, what="the accuracy of each subject"
    )


# ---------------------------------------------------------------------------------------------------------- truncate


@pytest.mark.task("truncate")
def test_truncate_at_the_earliest_stop() -> None:
    """The completion ends where the model begins another function, whichever stop is first in the list."""
    text = "    # a sum\n    return a + b\n\ndef sub(a, b):\n    return a\n\nclass Sum:\n    pass\n\nprint(add(1, 2))\n"
    expect_text(
        truncate_at_stop(text),
        "    # a sum\n    return a + b\n",
        what="what is left of a completion that goes on with a function, a class and a print",
        lookalikes={
            "first-in-list": text[: text.index("\nclass")],
            "last-stop": text[: text.index("\nprint")],
            "stop-kept": "    # a sum\n    return a + b\n\ndef",
            "newline-of-the-stop-kept": "    # a sum\n    return a + b\n\n",
            "completion-stripped": "# a sum\n    return a + b",
            "completion-right-stripped": "    # a sum\n    return a + b",
            "stop-inside": "    ",
        },
    )


@pytest.mark.task("truncate")
def test_truncate_leaves_a_clean_completion_alone() -> None:
    """Without a stop nothing is cut; inside the function, if and # are no stops."""
    text = "    # the larger\n    if a > b:\n        return a\n    return b\n"
    expect_text(
        truncate_at_stop(text),
        text,
        what="a completion without a stop",
        lookalikes={
            "not-found-cuts": text[:-1],
            "stop-inside": text.split("#")[0],
            "completion-stripped": text.strip(),
            "completion-right-stripped": text.rstrip(),
        },
    )


# ------------------------------------------------------------------------------------------------------- completions


class Writer(nn.Module):
    """Stands for a CausalLM: `generate` appends the rows that it was made with, and remembers how it was called."""

    def __init__(self, rows: list[list[int]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.rows = rows
        self.calls: list[tuple[Tensor, dict[str, object]]] = []

    def generate(self, input_ids: Tensor, **options: object) -> Tensor:
        self.calls.append((input_ids.clone(), options))
        written = [self.rows[i % len(self.rows)] for i in range(len(input_ids))]
        return torch.cat([input_ids, torch.tensor(written)], dim=1)


@pytest.mark.task("completions")
def test_completions_are_what_was_written_after_the_prompt() -> None:
    """Three rows of the same prompt go in; out come three texts without it, cut at the end of text and at the stops."""
    words = Words()
    prompt = "import math\n\ndef add(a, b):\n"
    rows = [words.encode(text) for text in ("    return a + b\n", "    return b\ndef sub(a):\n", "    pass\n")]
    longest = max(map(len, rows))
    rows = [row + [0] * (longest - len(row)) for row in rows]
    model = Writer(rows)
    completions = sample_completions(model, words, prompt, num_samples=3)
    expect(len(model.calls) > 0, "It was not called.", what="model.generate")
    given = model.calls[0][0]
    expect_equal(
        given.tolist(),
        [words.encode(prompt)] * 3,
        what="the rows that model.generate was given",
        lookalikes={
            "one-sample-at-a-time": [words.encode(prompt)],
            "prompt-encoded-with-special-tokens": [words.encode(prompt, add_special_tokens=True)] * 3,
        },
    )
    expect_equal(
        list(completions),
        ["    return a + b\n", "    return b", "    pass\n"],
        what="the three completions",
        lookalikes={
            "prompt-returned": [prompt + "    return a + b\n", prompt + "    return b", prompt + "    pass\n"],
            "completions-not-cut": ["    return a + b\n", "    return b\ndef sub(a):\n", "    pass\n"],
            "completions-stripped": ["return a + b", "return b", "pass"],
            "prompt-cut-off-first": ["", "", ""],
            "one-sample-copied": ["    return a + b\n"] * 3,
            "end-of-text-decoded": lambda: [
                words.decode(row, skip_special_tokens=False).split("\ndef")[0] for row in rows
            ],
        },
    )


# ----------------------------------------------------------------------------------------------------------- verdict

ADD = Problem(
    task_id="Example/0",
    prompt='def add(a, b):\n    """Return the sum of a and b."""\n',
    entry_point="add",
    canonical_solution="    return a + b\n",
    test="def check(candidate):\n    print('checking')\n    assert candidate(2, 3) == 5 and candidate(-1, 1) == 0",
)


def run_here(source: str) -> SimpleNamespace:
    """Run a harmless program in this process, and return what it printed, as the sandbox would."""
    stdout = io.StringIO()
    code = 0
    with contextlib.redirect_stdout(stdout):
        try:
            exec(compile(source, "<program>", "exec"), {"__name__": "__main__"})
        except BaseException:
            code = 1
    return SimpleNamespace(stdout=stdout.getvalue(), stderr="", ended="exited", code=code, isolation="none")


class Runner:
    """A `run` that runs here and remembers what it was asked."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.timeouts: list[float] = []

    def __call__(self, source: str, *, timeout: float) -> SimpleNamespace:
        self.sources.append(source)
        self.timeouts.append(timeout)
        return run_here(source)


def printed(completion: str, nonce: str = "c0ffee") -> list[str]:
    """The lines that the program of a completion prints."""
    return run_here(build_program(ADD, completion, nonce)).stdout.splitlines()


def why_unprinted(source: str) -> str | None:
    """Which mistake keeps the program of a right body from printing: with which change would it print?"""
    changed = {
        "check-returns-nothing": source.replace("== 0", "== 0\n    return True"),
        "nonce-not-quoted": f"c0ffee = 'c0ffee'\n{source}",
        "name-not-function": re.sub(r"check\(['\"]add['\"]\)", "check(add)", source),
    }
    return next((name for name, program in changed.items() if "c0ffee" in run_here(program).stdout.splitlines()), None)


@pytest.mark.task("verdict")
def test_the_program_prints_the_nonce_if_the_tests_pass() -> None:
    """A right body prints the nonce in a line of its own; a wrong one does not, nor one that is not Python."""
    source = build_program(ADD, "    return a + b", "c0ffee")
    try:
        compile(source, "<program>", "exec")
    except SyntaxError as error:
        expect(
            False,
            f"It is not Python: {error.msg} in line {error.lineno}.",
            what="the program for the completion '    return a + b', which has no newline at its end",
            actual=source,
            mistake="parts-run-together" if "    return a + b" in source else "completion-stripped-of-indentation",
        )
    right, wrong = (printed(body) for body in ("    return a + b", "    return a - b\n"))
    expect(
        "c0ffee" in right,
        "It does not.",
        what="the program of a right body prints the nonce",
        actual=str(right),
        mistake=why_unprinted(source),
    )
    called = wrong.index("checking") if "checking" in wrong else None
    early = called is not None and "c0ffee" in wrong[:called]
    ignored = "nonce-before-check" if early else "nonce-whatever-happens"
    expect(
        "c0ffee" not in wrong,
        "It was printed.",
        what="the nonce of a body that subtracts; check itself prints a line, 'checking'",
        actual=str(wrong),
        mistake="tests-never-called" if called is None else ignored,
    )
    broken = printed("    return a +\n")
    expect("c0ffee" not in broken, "It was printed.", what="the nonce of a body that is not Python")


@pytest.mark.task("verdict")
def test_completions_are_judged_by_running_them() -> None:
    """A right body passes, and wrong ones fail; they are run by `run` and nothing else."""
    run = Runner()
    check_completion(ADD, "    return a + b\n", run=run, timeout=7.5)
    expect_equal(len(run.sources), 1, what="how often check_completion has called run", mistake="run-in-process")
    expect_equal(run.timeouts, [7.5], what="the timeout that run was given", mistake="timeout-not-handed-on")
    check_completion(ADD, "    return a + b\n", run=run)
    expect_equal(
        len(run.sources), 2, what="how often, after the same completion came again", mistake="verdict-remembered"
    )
    outcomes = {
        body: check_completion(ADD, body, run=Runner(), timeout=3.0)
        for body in ("    return a + b\n", "    return b + a\n", "    return a - b\n", "    return a +\n")
    }
    expect_equal(
        outcomes,
        dict(zip(outcomes, ["passed", "passed", "failed", "failed"])),
        what="the outcomes of four bodies of add",
        lookalikes={
            "tests-never-called": dict(zip(outcomes, ["passed", "passed", "passed", "failed"])),
            "verdict-as-bool": dict(zip(outcomes, [True, True, False, False])),
            "solution-compared": dict(zip(outcomes, ["passed", "failed", "failed", "failed"])),
            "stdout-is-the-nonce": dict(zip(outcomes, ["failed"] * 4)),
        },
    )


# --------------------------------------------------------------------------------------------------------- pass-at-k


@pytest.mark.task("pass-at-k")
@pytest.mark.parametrize(("k", "wanted"), [(2, 0.7), (1, 0.4), (3, 0.9), (4, 1.0)])
def test_pass_at_k_of_five_samples(k: int, wanted: float) -> None:
    """Of five samples two are right: so many of the subsets of size k contain a right one."""
    with diagnosing("few-wrong-samples", ValueError, ZeroDivisionError):
        value = pass_at_k(5, 2, k)
    expect_close(
        value,
        wanted,
        rtol=1e-9,
        atol=1e-9,
        what=f"pass@{k} of five samples, two of them right",
        lookalikes={
            "plug-in": 1 - 0.6**k,
            "expected-count": 0.4 * k,
            "fail-not-pass": 1 - wanted,
            "right-ones-drawn": math.comb(2, k) / math.comb(5, k),
            "ratio-swapped": 1 - math.comb(2, k) / math.comb(5, k),
        },
    )


@pytest.mark.task("pass-at-k")
def test_pass_rates_worked_example() -> None:
    """Every problem counts the same, whatever it has been sampled."""
    rates = pass_rates({"a": (5, 2), "b": (5, 0), "c": (10, 10)}, ks=(1, 2))
    expect_equal(list(rates), ["pass@1", "pass@2"], what="the keys")
    expect_close(
        rates["pass@1"],
        (0.4 + 0 + 1) / 3,
        what="pass@1 of problems with 2 of 5, 0 of 5, and 10 of 10",
        lookalikes={"samples-pooled": 12 / 20, "unsolved-left-out": (0.4 + 1) / 2},
    )
    expect_close(
        rates["pass@2"],
        (0.7 + 0 + 1) / 3,
        what="pass@2 of problems with 2 of 5, 0 of 5, and 10 of 10",
        lookalikes={
            "samples-pooled": 1 - (8 * 7) / (20 * 19),
            "plug-in": (0.64 + 0 + 1) / 3,
            "rate-of-the-mean": 1 - (1 - 1.4 / 3) ** 2,
        },
    )


@pytest.mark.task("pass-at-k")
@pytest.mark.parametrize(("n", "c", "k"), [(5, 6, 1), (5, -1, 1), (5, 2, 6), (5, 2, 0)])
def test_pass_at_k_refuses_what_cannot_be(n: int, c: int, k: int) -> None:
    """More right samples than samples, or more tries than samples, is a ValueError."""
    with expect_raises(ValueError, what=f"pass_at_k({n}, {c}, {k})", mistake="range-unchecked"):
        pass_at_k(n, c, k)
