"""Plain heads in one pass over their bytes; what they may be is told in heads.py."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy

from balancer.request import HOP_BY_HOP, NOT_FORWARDED

# A larger head is left to the parser, with all that limits it. Each line may grow by the space after its name.
DEF MAX_BYTES = 8192
DEF MAX_LINES = 100
DEF MAX_DIGITS = 18

cdef enum:
    NAME = 1
    VALUE = 2
    TARGET = 4
    LABEL = 8
    DIGIT = 16

cdef unsigned char kinds[256]
cdef unsigned char small[256]
# Whether a header with this mark may be a special one; most names are told to be plain by this alone.
cdef bint marks[1024]
cdef char out[MAX_BYTES + MAX_LINES + 64]
cdef frozenset not_forwarded = NOT_FORWARDED
cdef frozenset hop_by_hop = HOP_BY_HOP
cdef tuple methods = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS")


cdef inline int mark(const unsigned char *name, Py_ssize_t size) noexcept:
    return (size * 37 + small[name[0]] * 11 + small[name[size - 1]]) & 1023


cdef fill_tables():
    cdef int c
    for c in range(256):
        small[c] = c + 32 if 65 <= c <= 90 else c
        kinds[c] = 0
        if 48 <= c <= 57:
            kinds[c] |= DIGIT
        if 48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122 or c == 45:
            kinds[c] |= NAME
            kinds[c] |= LABEL
        if c == 46:
            kinds[c] |= LABEL
        if 32 <= c <= 126:
            kinds[c] |= VALUE
        if 33 <= c <= 126 and c != 35:
            kinds[c] |= TARGET
    for name in not_forwarded | {b"host", b"content-length"}:
        marks[mark(name, len(name))] = True


cdef bint same(const unsigned char *at, Py_ssize_t size, bytes word) noexcept:
    """True if the bytes are this word of small letters, in any case."""
    cdef const unsigned char *want = <const unsigned char *>PyBytes_AS_STRING(word)
    cdef Py_ssize_t n
    if size != PyBytes_GET_SIZE(word):
        return False
    for n in range(size):
        if small[at[n]] != want[n]:
            return False
    return True


cdef bint is_host(const unsigned char *at, Py_ssize_t size) noexcept:
    """A name or an IPv4 address, and perhaps a port."""
    cdef Py_ssize_t n = 0
    cdef long port = 0
    while n < size and kinds[at[n]] & LABEL:
        n += 1
    if n == 0:
        return False
    if n == size:
        return True
    if at[n] != 58 or size - n < 2 or size - n > 6:
        return False
    n += 1
    while n < size:
        if not kinds[at[n]] & DIGIT:
            return False
        port = port * 10 + at[n] - 48
        n += 1
    return port <= 65535


cdef long long number(const unsigned char *at, Py_ssize_t size) noexcept:
    """A length in decimal digits, or -1."""
    cdef long long value = 0
    cdef Py_ssize_t n
    if size < 1 or size > MAX_DIGITS:
        return -1
    for n in range(size):
        if not kinds[at[n]] & DIGIT:
            return -1
        value = value * 10 + at[n] - 48
    return value


cdef struct Line:
    const unsigned char *name
    Py_ssize_t name_size
    const unsigned char *value
    Py_ssize_t value_size


cdef const unsigned char *read_line(const unsigned char *p, const unsigned char *end, Line *line) noexcept:
    """Take a header's line apart; where the next one begins, or NULL if this one is not whole or not plain."""
    line.name = p
    while p < end and kinds[p[0]] & NAME:
        p += 1
    line.name_size = p - line.name
    if line.name_size == 0 or p >= end or p[0] != 58:
        return NULL
    p += 1
    while p < end and p[0] == 32:
        p += 1
    line.value = p
    while p < end and kinds[p[0]] & VALUE:
        p += 1
    line.value_size = p - line.value
    if line.value_size == 0 or p[-1] == 32 or end - p < 2 or p[0] != 13 or p[1] != 10:
        return NULL
    return p + 2


cdef inline Py_ssize_t keep(Py_ssize_t size, Line *line) noexcept:
    """Add a line to those that go on; how long they are now."""
    memcpy(out + size, line.name, line.name_size)
    size += line.name_size
    memcpy(out + size, b": ", 2)
    memcpy(out + size + 2, line.value, line.value_size)
    size += 2 + line.value_size
    memcpy(out + size, b"\r\n", 2)
    return size + 2


def read_request(bytes data, Py_ssize_t start):
    """See heads.py."""
    cdef const unsigned char *begin = <const unsigned char *>PyBytes_AS_STRING(data) + start
    cdef const unsigned char *end = <const unsigned char *>PyBytes_AS_STRING(data) + PyBytes_GET_SIZE(data)
    cdef const unsigned char *p = begin
    cdef const unsigned char *target
    cdef Py_ssize_t target_size, size
    cdef int lines = 0
    cdef Line line
    cdef bytes method, host = None, length = None
    if end - p > MAX_BYTES:
        end = p + MAX_BYTES
    for method in methods:
        size = PyBytes_GET_SIZE(method)
        if end - p > size and p[size] == 32 and memcmp(p, PyBytes_AS_STRING(method), size) == 0:
            break
    else:
        return None
    p += size + 1
    target = p
    while p < end and kinds[p[0]] & TARGET:
        p += 1
    target_size = p - target
    if target_size == 0 or target[0] != 47 or end - p < 11 or memcmp(p, b" HTTP/1.1\r\n", 11) != 0:
        return None
    p += 11
    size = 0
    while True:
        if end - p >= 2 and p[0] == 13 and p[1] == 10:
            break
        lines += 1
        p = read_line(p, end, &line)
        if p == NULL or lines > MAX_LINES:
            return None
        if not marks[mark(line.name, line.name_size)]:
            size = keep(size, &line)
        elif same(line.name, line.name_size, b"host"):
            if host is not None or not is_host(line.value, line.value_size):
                return None
            host = PyBytes_FromStringAndSize(<const char *>line.value, line.value_size)
            size = keep(size, &line)
        elif same(line.name, line.name_size, b"content-length"):
            if length is not None or number(line.value, line.value_size) < 0:
                return None
            length = PyBytes_FromStringAndSize(<const char *>line.value, line.value_size)
            size = keep(size, &line)
        elif same(line.name, line.name_size, b"connection"):
            if not same(line.value, line.value_size, b"keep-alive"):
                return None
        elif same(line.name, line.name_size, b"keep-alive"):
            continue
        elif line.name[:line.name_size].lower() in not_forwarded:
            return None
        else:
            size = keep(size, &line)
    if host is None:
        return None
    return (
        method,
        PyBytes_FromStringAndSize(<const char *>target, target_size),
        host,
        length,
        PyBytes_FromStringAndSize(out, size),
        p + 2 - begin + start,
    )


def read_response(bytes data):
    """See heads.py."""
    cdef const unsigned char *begin = <const unsigned char *>PyBytes_AS_STRING(data)
    cdef const unsigned char *end = begin + PyBytes_GET_SIZE(data)
    cdef const unsigned char *p = begin
    cdef Py_ssize_t size = 0
    cdef long long length = -1
    cdef int status, lines = 0
    cdef bint stays = True
    cdef Line line
    if end - p > MAX_BYTES:
        end = p + MAX_BYTES
    if end - p < 16 or memcmp(p, b"HTTP/1.1 ", 9) != 0 or p[12] != 32:
        return None
    status = number(p + 9, 3)
    if status < 200 or status > 599 or status == 204 or status == 304:
        return None
    p += 13
    while p < end and kinds[p[0]] & VALUE:
        p += 1
    if end - p < 2 or p[0] != 13 or p[1] != 10:
        return None
    p += 2
    while True:
        if end - p >= 2 and p[0] == 13 and p[1] == 10:
            break
        lines += 1
        p = read_line(p, end, &line)
        if p == NULL or lines > MAX_LINES:
            return None
        if not marks[mark(line.name, line.name_size)]:
            size = keep(size, &line)
        elif same(line.name, line.name_size, b"content-length"):
            if length >= 0:
                return None
            length = number(line.value, line.value_size)
            if length < 0:
                return None
            size = keep(size, &line)
        elif same(line.name, line.name_size, b"connection"):
            if same(line.value, line.value_size, b"close"):
                stays = False
            elif not same(line.value, line.value_size, b"keep-alive"):
                return None
        elif same(line.name, line.name_size, b"keep-alive"):
            continue
        elif line.name[:line.name_size].lower() in hop_by_hop:
            return None
        else:
            size = keep(size, &line)
    if length < 0:
        return None
    return status, length, stays, PyBytes_FromStringAndSize(out, size), p + 2 - begin


fill_tables()
