"""Requests nobody wrote by hand: good ones changed a little, at random but from a seed."""

from parsing_cases import FIRST, GET, PASSED, REFUSED, SMUGGLED

# A conversation is a few kilobytes at most; the long ones of the table say nothing more when changed.
LONGEST = 2000
GOOD = [raw for raw, _ in PASSED.values() if len(raw) < LONGEST]
BAD = [raw for raw in REFUSED.values() if len(raw) < LONGEST]
BYTES = b"\x00\t\n\r \x0b\x1f\x7f\x80\xff:;,/\\#?*@[]\"'+-0123456789abcdefghxX"
WORDS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\x00",
    b"Content-Length: 0\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length:",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: x\r\n",
    b"Host: other\r\n",
    b"X: a\r\n b\r\n",
    b"Expect: 100-continue\r\n",
    b"chunked",
    b"identity",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"http://shop.test",
    b"0\r\n\r\n",
    b"3\r\nabc\r\n",
    b"ffffffffffffffff",
    b"X_Forwarded_For: 1\r\n",
    b"X-Forwarded-For: 1\r\n",
    b"Forwarded: for=1\r\n",
    b"Via: 1.1 sluice\r\n",
    GET,
    SMUGGLED,
]


def variants(random, count, most_changes=4):
    """`count` conversations: one to three requests, mostly good, with up to so many changes."""
    for _ in range(count):
        parts = [random.choice(GOOD if random.random() < 0.9 else BAD) for _ in range(random.randint(1, 3))]
        if random.random() < 0.3:
            parts.insert(0, FIRST)
        raw = b"".join(parts)
        for _ in range(random.randint(0, most_changes)):
            raw = changed(random, raw)
        yield raw


def changed(random, raw):
    """One change."""
    at = random.randint(0, len(raw))
    end = min(len(raw), at + random.randint(1, 8))
    kind = random.randrange(8)
    if kind == 0:
        return raw[:at] + bytes([random.choice(BYTES)]) + raw[at + 1 :]
    if kind == 1:
        return raw[:at] + bytes([random.choice(BYTES)]) + raw[at:]
    if kind == 2:
        return raw[:at] + raw[end:]
    if kind == 3:
        return raw[:at] + raw[at:end] + raw[at:]
    if kind == 4:
        return raw[:at] + random.choice(WORDS) + raw[at:]
    lines = raw.split(b"\r\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    if kind == 5:
        lines.insert(one, random.choice(WORDS).removesuffix(b"\r\n"))
    elif kind == 6:
        lines.insert(one, lines[other])
    else:
        lines[one], lines[other] = lines[other], lines[one]
    return b"\r\n".join(lines)


def pieces(random, raw):
    """The bytes as they may come: at once, in a few parts, or one by one."""
    way = random.random()
    if way < 0.4 or len(raw) < 2:
        return [raw]
    if way < 0.5:
        return [raw[at : at + 1] for at in range(len(raw))]
    cuts = sorted(random.sample(range(1, len(raw)), min(len(raw) - 1, random.randint(1, 6))))
    return [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
