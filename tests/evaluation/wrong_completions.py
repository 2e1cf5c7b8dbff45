"""Plausible wrong answers to the built-in programming problems: two for each, by its entry point, with the fault.

All can be written by someone who understood the problem; the checks of the problem must notice each.
"""

WRONG = {
    "run_lengths": [
        # counts over the whole text, not in a run
        """\
    seen = []
    for character in text:
        if character not in seen:
            seen.append(character)
    return [(character, text.count(character)) for character in seen]
""",
        # the last run is lost
        """\
    runs = []
    start = 0
    for index in range(1, len(text)):
        if text[index] != text[start]:
            runs.append((text[start], index - start))
            start = index
    return runs
""",
    ],
    "initials": [
        # splits at each single space
        """\
    return "".join(word[:1].upper() + "." for word in name.split(" "))
""",
        # full stops between, none at the end
        """\
    return ".".join(word[0].upper() for word in name.split())
""",
    ],
    "second_largest": [
        # equal values are counted apart
        """\
    ordered = sorted(numbers, reverse=True)
    return ordered[1] if len(ordered) > 1 else None
""",
        # starts from 0, so negative values are never found
        """\
    first = second = 0
    for number in numbers:
        if number > first:
            first, second = number, first
        elif first > number > second:
            second = number
    return second if len(set(numbers)) > 1 else None
""",
    ],
    "split_into_batches": [
        # the short batch is dropped
        """\
    if size < 1:
        raise ValueError("size must be at least 1")
    return [items[i * size:(i + 1) * size] for i in range(len(items) // size)]
""",
        # no ValueError for a negative size
        """\
    if size == 0:
        raise ValueError("size must be at least 1")
    return [items[start:start + size] for start in range(0, len(items), size)]
""",
    ],
    "documents_by_word": [
        # a document is named as often as it has the word
        """\
    index = {}
    for name in sorted(documents):
        for word in documents[name].lower().split():
            index.setdefault(word, []).append(name)
    return index
""",
        # names in the order of the documents
        """\
    index = {}
    for name, text in documents.items():
        for word in dict.fromkeys(text.lower().split()):
            index.setdefault(word, []).append(name)
    return index
""",
    ],
    "minutes_between": [
        # midnight is forgotten
        """\
    start_hour, start_minute = map(int, start.split(":"))
    end_hour, end_minute = map(int, end.split(":"))
    return (end_hour - start_hour) * 60 + end_minute - start_minute
""",
        # equal times are a whole day apart
        """\
    start_hour, start_minute = map(int, start.split(":"))
    end_hour, end_minute = map(int, end.split(":"))
    minutes = (end_hour - start_hour) * 60 + end_minute - start_minute
    return minutes if minutes > 0 else minutes + 1440
""",
    ],
    "merge_intervals": [
        # the end of the later interval wins, though the earlier may reach further
        """\
    merged = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged
""",
        # a shared end point is not enough
        """\
    merged = []
    for first, last in sorted(intervals):
        if merged and first < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
""",
    ],
    "open_balances": [
        # zeros stay
        """\
    balance = {}
    for payer, receiver, amount in payments:
        balance[payer] = balance.get(payer, 0) - amount
        balance[receiver] = balance.get(receiver, 0) + amount
    return balance
""",
        # the signs are exchanged
        """\
    balance = {}
    for payer, receiver, amount in payments:
        balance[payer] = balance.get(payer, 0) + amount
        balance[receiver] = balance.get(receiver, 0) - amount
    return {person: total for person, total in balance.items() if total}
""",
    ],
    "longest_rise": [
        # equal neighbours count as a rise
        """\
    longest = current = 0
    for index, number in enumerate(numbers):
        current = current + 1 if index and number >= numbers[index - 1] else 1
        longest = max(longest, current)
    return longest
""",
        # a stretch that reaches the end is not counted
        """\
    if not numbers:
        return 0
    longest = current = 1
    for left, right in zip(numbers, numbers[1:]):
        if right > left:
            current += 1
        else:
            longest = max(longest, current)
            current = 1
    return longest
""",
    ],
    "most_common_word": [
        # the first of equally frequent words in the text, not in the alphabet
        """\
    words = text.lower().split()
    return max(words, key=words.count, default="")
""",
        # upper and lower case are different words
        """\
    words = text.split()
    return min(words, key=lambda word: (-words.count(word), word), default="").lower()
""",
    ],
    "digital_root": [
        # stops after the first sum
        """\
    return sum(int(digit) for digit in str(number))
""",
        # the remainder of 9 is 0, not 9
        """\
    return number % 9
""",
    ],
    "insertion_point": [
        # behind equal values
        """\
    index = 0
    while index < len(ordered) and ordered[index] <= value:
        index += 1
    return index
""",
        # never behind the last element
        """\
    for index, element in enumerate(ordered):
        if element >= value:
            return index
    return max(len(ordered) - 1, 0)
""",
    ],
    "rotate_clockwise": [
        # the transpose
        """\
    return [list(column) for column in zip(*matrix)]
""",
        # the other way round
        """\
    return [list(column) for column in zip(*matrix)][::-1]
""",
    ],
    "group_anagrams": [
        # the same letters, however often
        """\
    groups = {}
    for word in words:
        groups.setdefault(frozenset(word), []).append(word)
    return list(groups.values())
""",
        # groups in alphabetical order
        """\
    groups = {}
    for word in words:
        groups.setdefault("".join(sorted(word)), []).append(word)
    return [groups[key] for key in sorted(groups)]
""",
    ],
    "format_ranges": [
        # a single number is written as a range
        """\
    ranges = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join("%d-%d" % (first, last) for first, last in ranges)
""",
        # two neighbours stay apart
        """\
    ranges = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    parts = []
    for run in ranges:
        parts += ["%d-%d" % (run[0], run[-1])] if len(run) > 2 else [str(number) for number in run]
    return ",".join(parts)
""",
    ],
    "flatten": [
        # one level only
        """\
    flat = []
    for element in nested:
        flat.extend(element if isinstance(element, list) else [element])
    return flat
""",
        # tuples are opened too
        """\
    flat = []
    for element in nested:
        flat.extend(flatten(element) if isinstance(element, (list, tuple)) else [element])
    return flat
""",
    ],
    "fewest_coins": [
        # greedy: the largest coin first
        """\
    count = 0
    for coin in sorted(coins, reverse=True):
        count += amount // coin
        amount %= coin
    return count if amount == 0 else -1
""",
        # each value only once
        """\
    fewest = {0: 0}
    for coin in coins:
        for total, count in list(fewest.items()):
            fewest[total + coin] = min(count + 1, fewest.get(total + coin, count + 1))
    return fewest.get(amount, -1)
""",
    ],
    "edit_distance": [
        # compares position by position
        """\
    different = sum(left != right for left, right in zip(source, target))
    return different + abs(len(source) - len(target))
""",
        # no replacing: delete and insert
        """\
    previous = list(range(len(target) + 1))
    for row, left in enumerate(source, 1):
        current = [row]
        for column, right in enumerate(target, 1):
            if left == right:
                current.append(previous[column - 1])
            else:
                current.append(1 + min(previous[column], current[-1]))
        previous = current
    return previous[-1]
""",
    ],
    "days_in_month": [
        # every fourth year
        """\
    if month == 2:
        return 29 if year % 4 == 0 else 28
    return 30 if month in (4, 6, 9, 11) else 31
""",
        # long and short months alternate to the end of the year
        """\
    if month == 2:
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return 29 if leap else 28
    return 31 if month % 2 == 1 else 30
""",
    ],
    "count_islands": [
        # diagonal neighbours count
        """\
    land = {(y, x) for y, row in enumerate(rows) for x, square in enumerate(row) if square == "#"}
    islands = 0
    while land:
        islands += 1
        reached = [land.pop()]
        while reached:
            y, x = reached.pop()
            for near in [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if near in land:
                    land.remove(near)
                    reached.append(near)
    return islands
""",
        # counts land without land above or to the left
        """\
    count = 0
    for y, row in enumerate(rows):
        for x, square in enumerate(row):
            above = y > 0 and rows[y - 1][x] == "#"
            left = x > 0 and row[x - 1] == "#"
            count += square == "#" and not above and not left
    return count
""",
    ],
}
