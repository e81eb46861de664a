"""How files are damaged: bits, lengths, blocks, numbers and words."""

import random
import re
import struct
from collections.abc import Callable

_BLOCK = 4096  # bytes that are inserted, doubled or removed at most
_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1)
_TOKEN = re.compile(rb'-?\d+(?:\.\d+)?|true|false|null|"[^"\n]*"|[A-Za-z_][\w.-]*')
_WORDS = (
    *(b"0", b"-1", b"1.5", b"1e999", b"nan", b".inf", b"99999999999999999999", b"1e3", b"null", b"true", b"~"),
    *(b'""', b'"x"', b"[]", b"[[]]", b"{}", b"..", b"/", b"\xff", b"\x00", b"\xef\xbb\xbf", b"x" * 5000, b"9" * 5000),
    *(b"&a", b"*a", b"!!python/none", b"!!binary", b": ", b", "),
)
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]*")


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The content with one or several kinds of damage."""
    kinds = (*_KINDS, *_TEXT_KINDS * 3) if _TEXT.fullmatch(content) else _KINDS
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        content = draw.choice(kinds)(content, draw)
    return content


def _flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 8, 64)) if content else 0):
        changed[_place(content, draw)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _insert(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) + 1)
    block = draw.randbytes(_length(draw)) if draw.random() < 0.5 else bytes((draw.randrange(256),)) * _length(draw)
    return content[:at] + block + content[at:]


def _double(content: bytes, draw: random.Random) -> bytes:
    start, at = (draw.randrange(len(content) + 1) for _ in range(2))
    return content[:at] + content[start : start + _length(draw)] + content[at:]


def _remove(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) + 1)
    return content[:at] + content[at + _length(draw) :]


def _number(content: bytes, draw: random.Random) -> bytes:
    """A field of 1, 2, 4 or 8 bytes becomes a number at the end of some range; most fields lie in headers."""
    width, order = draw.choice("BHIQ"), draw.choice("<>")
    field = struct.pack(f"{order}{width}", draw.choice(_NUMBERS) % (1 << 8 * struct.calcsize(f"={width}")))
    at = _place(content[: draw.choice((64, 512, len(content)))] or b"\0", draw)
    return content[:at] + field + content[at + len(field) :]


def _word(content: bytes, draw: random.Random) -> bytes:
    """A number, word or string becomes another one."""
    tokens = list(_TOKEN.finditer(content))
    if not tokens:
        return content + draw.choice(_WORDS)
    token = draw.choice(tokens)
    other = draw.choice(_WORDS) if draw.random() < 0.7 else draw.choice(tokens).group()
    return content[: token.start()] + other + content[token.end() :]


def _line(content: bytes, draw: random.Random) -> bytes:
    """A line is lost, doubled or moved."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    line = lines.pop(draw.randrange(len(lines)))
    for _ in range(draw.randrange(3)):
        lines.insert(draw.randrange(len(lines) + 1), line)
    return b"".join(lines)


def _place(content: bytes, draw: random.Random) -> int:
    return draw.randrange(max(len(content), 1))


def _length(draw: random.Random) -> int:
    return draw.choice((1, 2, 4, 8, draw.randrange(1, _BLOCK)))


_Kind = Callable[[bytes, random.Random], bytes]
_KINDS: tuple[_Kind, ...] = (_flip, _flip, _cut, _insert, _double, _remove, _number, _number)
_TEXT_KINDS: tuple[_Kind, ...] = (_word, _word, _word, _line)
