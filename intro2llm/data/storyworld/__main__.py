"""Show a story, and what each of its choices cost: python -m intro2llm.data.storyworld [NUMBER]"""

import sys
from math import log

from . import bits_per_byte, question, steps, story


def main() -> None:
    index = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    told = story("train", index)
    choices = steps(told.text)
    ends = [position for position, _, _ in choices[1:]] + [len(told.text)]
    print(f"{told.text}\n\n{'bits':>6}  chosen, and what follows from it")
    for (position, phrase, log_prob), end in zip(choices, ends):
        print(f"{-log_prob / log(2):6.2f}  {phrase}|{told.text[position + len(phrase) : end]}")
    print(f"{-told.log_prob / log(2):6.2f}  in {len(told.text)} bytes: {bits_per_byte([told]):.3f} bits per byte")
    asked = question("train", index)
    print(f"\n{asked.prompt}\n{asked.answer}")


if __name__ == "__main__":
    main()
