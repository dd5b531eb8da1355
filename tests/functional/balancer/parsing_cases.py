"""
Requests as bytes: those that two parsers could read differently, and odd ones that mean one thing only.

REFUSED must be answered with an error and reach no backend. In REFUSED_AFTER_A_GOOD_ONE the first request is
good and the bytes after it are not. PASSED must reach the backend and mean there what `Meaning` says.
"""

import dataclasses

HOST = b"Host: shop.test\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")


def head(line, *rows):
    """A head with Host; each row is a header without its line end."""
    return line + b"\r\n" + HOST + b"".join(row + b"\r\n" for row in rows) + b"\r\n"


def bare(line, *rows):
    """A head without Host."""
    return line + b"\r\n" + b"".join(row + b"\r\n" for row in rows) + b"\r\n"


def get(*rows, target=b"/"):
    return head(b"GET " + target + b" HTTP/1.1", *rows)


def post(*rows, body=b"", target=b"/"):
    return head(b"POST " + target + b" HTTP/1.1", *rows) + body


def chunks(body, *rows, target=b"/"):
    return post(CHUNKED, *rows, body=body, target=target)


# The request line.

LINES = {
    "two spaces after the method": head(b"GET  / HTTP/1.1"),
    "two spaces before the version": head(b"GET /  HTTP/1.1"),
    "a tab after the method": head(b"GET\t/ HTTP/1.1"),
    "a tab before the version": head(b"GET /\tHTTP/1.1"),
    "a space before the method": head(b" GET / HTTP/1.1"),
    "a tab before the method": head(b"\tGET / HTTP/1.1"),
    "a space after the version": head(b"GET / HTTP/1.1 "),
    "a tab after the version": head(b"GET / HTTP/1.1\t"),
    "a word after the version": head(b"GET / HTTP/1.1 HTTP/1.0"),
    "a vertical tab in the line": head(b"GET\x0b/ HTTP/1.1"),
    "a form feed in the line": head(b"GET /\x0cHTTP/1.1"),
    "a bare CR after the line": b"GET / HTTP/1.1\r" + HOST + b"\r\n",
    "two CRs after the line": b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n",
    "a bare LF after the line": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
    "bare LFs everywhere": b"GET / HTTP/1.1\nHost: shop.test\n\n",
    "a bare CR in the line": head(b"GET /\r HTTP/1.1"),
    "a line feed before the line": b"\n" + GET,
    "a CR before the line": b"\r" + GET,
    "three empty lines before the line": b"\r\n\r\n\r\n" + GET,
    "a NUL before the line": b"\x00" + GET,
    "a byte order mark before the line": b"\xef\xbb\xbf" + GET,
    "garbage before the line": b"garbage\r\n" + GET,
    "a header before the line": HOST + GET,
    "a PROXY line nobody asked for": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + GET,
    "an empty method": head(b" / HTTP/1.1"),
    "a method of small letters": head(b"get / HTTP/1.1"),
    "a method of mixed letters": head(b"Get / HTTP/1.1"),
    "an unknown method": head(b"FETCH / HTTP/1.1"),
    "a method with a digit": head(b"GET1 / HTTP/1.1"),
    "a method with a parenthesis": head(b"GE(T / HTTP/1.1"),
    "a method with a colon": head(b"GET: / HTTP/1.1"),
    "a method with a NUL": head(b"GE\x00T / HTTP/1.1"),
    "a method with a byte above 127": head(b"G\xc3\x89T / HTTP/1.1"),
    "an endless method": head(b"A" * 20_000 + b" / HTTP/1.1"),
    "CONNECT": head(b"CONNECT shop.test:80 HTTP/1.1"),
    "CONNECT with a path": head(b"CONNECT / HTTP/1.1"),
    "CONNECT with a length": head(b"CONNECT shop.test:80 HTTP/1.1", b"Content-Length: 3") + b"abc",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2's preface, a part of it": b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
    "HTTP/2's preface as HTTP/1.0, a part of it": b"PRI * HTTP/1.0\r\n\r\nSM\r\n",
    "HTTP/2's method in HTTP/1.1": head(b"PRI * HTTP/1.1"),
    "no version": head(b"GET /"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/0.9, said so": head(b"GET / HTTP/0.9"),
    "HTTP/1.2": head(b"GET / HTTP/1.2"),
    "HTTP/1.10": head(b"GET / HTTP/1.10"),
    "HTTP/01.1": head(b"GET / HTTP/01.1"),
    "HTTP/1": head(b"GET / HTTP/1"),
    "HTTP/1.": head(b"GET / HTTP/1."),
    "HTTP/.1": head(b"GET / HTTP/.1"),
    "HTTP/2.0": head(b"GET / HTTP/2.0"),
    "HTTP/-1.1": head(b"GET / HTTP/-1.1"),
    "HTTP/1,1": head(b"GET / HTTP/1,1"),
    "HTTP/1.1 with a space in it": head(b"GET / HTTP/ 1.1"),
    "HTTP 1.1": head(b"GET / HTTP 1.1"),
    "HTTP\\1.1": head(b"GET / HTTP\\1.1"),
    "http/1.1": head(b"GET / http/1.1"),
    "Http/1.1": head(b"GET / Http/1.1"),
    "HTTPS/1.1": head(b"GET / HTTPS/1.1"),
    "XHTTP/1.1": head(b"GET / XHTTP/1.1"),
    "RTSP": head(b"OPTIONS * RTSP/1.1"),
    "RTSP with a path": head(b"OPTIONS / RTSP/1.0"),
    "RTSP with its own method": head(b"PLAY / RTSP/1.0"),
    "ICE": head(b"SOURCE / ICE/1.0"),
    "SIP": head(b"REGISTER sip:a SIP/2.0"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "SMTP": b"EHLO shop.test\r\n",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "nothing but NULs": b"\x00" * 64,
}

TARGETS = {
    "no target": head(b"GET HTTP/1.1"),
    "an empty target": head(b"GET  HTTP/1.1"),
    "a target without a slash": get(target=b"shop"),
    "a target of dots": get(target=b"../etc/passwd"),
    "a target that is a query": get(target=b"?a=b"),
    "a backslash for a slash": get(target=b"\\"),
    "a star for GET": get(target=b"*"),
    "a star and more": head(b"OPTIONS */a HTTP/1.1"),
    "two targets": get(target=b"/a /b"),
    "a fragment": get(target=b"/a#b"),
    "a fragment with a query": get(target=b"/a#?b"),
    "a NUL in the target": get(target=b"/a\x00b"),
    "a control byte in the target": get(target=b"/a\x01b"),
    "DEL in the target": get(target=b"/a\x7fb"),
    "a bare CR in the target": get(target=b"/a\rb"),
    "a bare LF in the target": get(target=b"/a\nb"),
    "a line end in the target": get(target=b"/a\r\nX: b"),
    "UTF-8 in the target": get(target=b"/\xc3\xa4"),
    "latin-1 in the target": get(target=b"/\xe4"),
    "a target that is too long": get(target=b"/" + b"a" * 8192),
    "a query that is too long": get(target=b"/?" + b"a" * 9000),
    "an endless target": get(target=b"/" + b"a" * 100_000),
    "an absolute target of another host": get(target=b"http://other/"),
    "an absolute target of another port": get(target=b"http://shop.test:81/"),
    "an absolute target with the port left out": bare(
        b"GET http://shop.test/ HTTP/1.1", b"Host: shop.test:80"
    ),
    "an absolute target with a user": get(target=b"http://user@shop.test/"),
    "an absolute target with a user and a password": get(target=b"http://user:pass@shop.test/"),
    "an absolute target with the host as a user": get(target=b"http://shop.test@other/"),
    "an absolute target with a query at once": get(target=b"http://shop.test?a"),
    "an absolute target without a host": get(target=b"http:///"),
    "an absolute target without slashes": get(target=b"http:shop.test/"),
    "an absolute target with one slash": get(target=b"http:/shop.test/"),
    "an absolute target with a backslash": get(target=b"http://shop.test\\/"),
    "an absolute target with a trailing dot": get(target=b"http://shop.test./"),
    "an absolute target of https": get(target=b"https://shop.test/"),
    "an absolute target of ftp": get(target=b"ftp://shop.test/"),
    "an absolute target without Host": bare(b"GET http://shop.test/ HTTP/1.1"),
    "an absolute target with an empty Host": bare(b"GET http://shop.test/ HTTP/1.1", b"Host:"),
    "an authority for GET": get(target=b"shop.test:80"),
    "javascript": get(target=b"javascript:alert(1)"),
}

HOSTS = {
    "no Host": bare(b"GET / HTTP/1.1", b"X: a"),
    "no header at all": bare(b"GET / HTTP/1.1"),
    "two Hosts": get(b"Host: other"),
    "the same Host twice": get(b"Host: shop.test"),
    "two Hosts in HTTP/1.0": head(b"GET / HTTP/1.0", b"Host: other"),
    "two Hosts of different case": get(b"hOST: other"),
    "two Hosts in one": bare(b"GET / HTTP/1.1", b"Host: shop.test, other:80"),
    "two Hosts in one with a space": bare(b"GET / HTTP/1.1", b"Host: shop.test other"),
    "an empty Host and another": bare(b"GET / HTTP/1.1", b"Host:", b"Host: shop.test"),
    "a Host with a path": bare(b"GET / HTTP/1.1", b"Host: shop.test/a"),
    "a Host with a scheme": bare(b"GET / HTTP/1.1", b"Host: http://shop.test"),
    "a Host with a user": bare(b"GET / HTTP/1.1", b"Host: user@shop.test"),
    "a Host with a user and a password": bare(b"GET / HTTP/1.1", b"Host: user:pass@shop.test"),
    "a Host with a query": bare(b"GET / HTTP/1.1", b"Host: shop.test?a"),
    "a Host with a fragment": bare(b"GET / HTTP/1.1", b"Host: shop.test#a"),
    "a Host with a backslash": bare(b"GET / HTTP/1.1", b"Host: shop\\test"),
    "a Host with a quote": bare(b"GET / HTTP/1.1", b'Host: shop"test'),
    "a Host with a tab": bare(b"GET / HTTP/1.1", b"Host: shop\ttest"),
    "a Host with a NUL": bare(b"GET / HTTP/1.1", b"Host: shop\x00test"),
    "a Host with angle brackets": bare(b"GET / HTTP/1.1", b"Host: <script>"),
    "a Host of UTF-8": bare(b"GET / HTTP/1.1", b"Host: sh\xc3\xb6p.test"),
    "a Host with a broken escape": bare(b"GET / HTTP/1.1", b"Host: shop%zz.test"),
    "a Host with half an escape": bare(b"GET / HTTP/1.1", b"Host: shop%2"),
    "a Host with an empty port": bare(b"GET / HTTP/1.1", b"Host: shop.test:"),
    "a Host with a port of letters": bare(b"GET / HTTP/1.1", b"Host: shop.test:http"),
    "a Host with a signed port": bare(b"GET / HTTP/1.1", b"Host: shop.test:+80"),
    "a Host with a negative port": bare(b"GET / HTTP/1.1", b"Host: shop.test:-80"),
    "a Host with two ports": bare(b"GET / HTTP/1.1", b"Host: shop.test:80:81"),
    "a Host with too large a port": bare(b"GET / HTTP/1.1", b"Host: shop.test:65536"),
    "a Host with an open bracket": bare(b"GET / HTTP/1.1", b"Host: [::1"),
    "a Host with a closed bracket": bare(b"GET / HTTP/1.1", b"Host: ::1]"),
    "a Host with bare colons": bare(b"GET / HTTP/1.1", b"Host: ::1"),
    "a Host with a zone": bare(b"GET / HTTP/1.1", b"Host: [fe80::1%25eth0]"),
    "a Host with something after the bracket": bare(b"GET / HTTP/1.1", b"Host: [::1]a"),
    "a folded Host": bare(b"GET / HTTP/1.1", b"Host: shop.test\r\n other"),
    "a Host with a space before the colon": bare(b"GET / HTTP/1.1", b"Host : shop.test"),
}

# Headers, whatever their name.

HEADERS = {
    "a space before the colon": get(b"X : a"),
    "a tab before the colon": get(b"X\t: a"),
    "a space before the colon of a length": post(b"Content-Length : 3", body=b"abc"),
    "a space before the colon of a coding": post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    "a header without a colon": get(b"X"),
    "a header without a colon but a value": get(b"X a"),
    "a header without a name": get(b": a"),
    "a header of nothing but a colon": get(b":"),
    "a header whose name is a space": get(b" : a"),
    "a name with a space": get(b"X Y: a"),
    "a name with a slash": get(b"X/Y: a"),
    "a name in parentheses": get(b"(X): a"),
    "a name with a comma": get(b"X,Y: a"),
    "a name with a semicolon": get(b"X;Y: a"),
    "a name with an equals sign": get(b"X=Y: a"),
    "a name with a question mark": get(b"X?: a"),
    "a name with an at sign": get(b"X@Y: a"),
    "a name with brackets": get(b"X[1]: a"),
    "a name with braces": get(b"X{1}: a"),
    "a name with a backslash": get(b"X\\Y: a"),
    "a name in quotes": get(b'"X": a'),
    "a name with a NUL": get(b"X\x00Y: a"),
    "a NUL after a name": get(b"Content-Length\x00: 3"),
    "a NUL before a name": get(b"\x00Content-Length: 3"),
    "a name with a control byte": get(b"X\x01: a"),
    "a name with DEL": get(b"X\x7f: a"),
    "a name with UTF-8": get(b"X\xc3\xa4: a"),
    "a name with a no-break space": get(b"Content-Length\xa0: 3"),
    "a name with a bare CR": get(b"X\rY: a"),
    "a name with a bare LF": get(b"X\nY: a"),
    "a name cut by a line end": get(b"Content-Length\r\n: 3"),
    "a value with a NUL": get(b"X: a\x00b"),
    "a value with a control byte": get(b"X: a\x01b"),
    "a value with a backspace": get(b"X: a\x08b"),
    "a value with a vertical tab": get(b"X: a\x0bb"),
    "a value with a form feed": get(b"X: a\x0cb"),
    "a value with an escape byte": get(b"X: a\x1b[2Jb"),
    "a value with DEL": get(b"X: a\x7fb"),
    "a value with a bare CR": get(b"X: a\rY: b"),
    "a value that ends in a bare CR": get(b"X: a\r"),
    "a value with a bare LF": get(b"X: a\nY: b"),
    "a value of a bare CR": get(b"X: \r"),
    "a value with LF CR": get(b"X: a\n\rY: b"),
    "a folded header": get(b"X: a\r\n b"),
    "a header folded with a tab": get(b"X: a\r\n\tb"),
    "a header folded at once": get(b"X:\r\n b"),
    "a header folded into nothing": get(b"X: a\r\n "),
    "a fold before the first header": bare(b"GET / HTTP/1.1", b" X: a", b"Host: shop.test"),
    "a folded coding": post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"),
    "a folded length": post(b"Content-Length:\r\n 3", body=b"abc"),
    "a fold that hides a length": post(b"X: a\r\n Content-Length: 3", body=b"abc"),
    "a bare LF at the end of the head": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n\n",
    "a bare CR at the end of the head": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n\r",
    "two CRs at the end of the head": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n\r\r\n",
    "a space in the empty line": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n \r\n",
    "too many headers": get(*[b"X: a"] * 200),
    "one header too many": get(*[b"X: a"] * 128),
    "too many empty headers": get(*[b"X:"] * 10_000),
    "a name that is too long": get(b"X" * 40_000 + b": a"),
    "a value that is too long": get(b"X: " + b"a" * 40_000),
    "a head that is too long": get(*[b"X: " + b"a" * 700] * 60),
    "headers of the hop that are too long": get(*[b"Keep-Alive: " + b"a" * 700] * 60),
    "a request line for a header": get(b"GET /smuggled HTTP/1.1"),
}

# The length of the body.

LENGTHS = {
    name: post(b"Content-Length:" + value, body=b"abc")
    for name, value in {
        "an empty length": b"",
        "a length of spaces": b"   ",
        "a negative length": b" -3",
        "a length of minus zero": b" -0",
        "a signed length": b" +3",
        "a hexadecimal length": b" 0x3",
        "a hexadecimal length without 0x": b" a",
        "a length with a fraction": b" 3.0",
        "a length with an exponent": b" 3e0",
        "a length with an underscore": b" 1_0",
        "a length with a thousands mark": b" 1'000",
        "a length with a space in it": b" 1 0",
        "a length with a tab in it": b" 1\t0",
        "a length with a letter after it": b" 3a",
        "a length with a letter before it": b" a3",
        "a length with a semicolon": b" 3;a",
        "a length in quotes": b' "3"',
        "a list of lengths": b" 3, 3",
        "a list of different lengths": b" 3, 4",
        "a list with an empty length": b" 3,",
        "a list that begins empty": b" ,3",
        "a length of Arabic digits": b" \xd9\xa3",
        "a superscript length": b" \xb3",
        "a full-width length": b" \xef\xbc\x93",
        "a length with a NUL": b" 3\x00",
        "a length after a vertical tab": b" \x0b3",
        "a length before a form feed": b" 3\x0c",
        "a length of 19 digits": b" 9999999999999999999",
        "a length beyond 64 bits": b" 18446744073709551619",
        "a length beyond 32 bits, wrapped": b" 79228162514264337593543950339",
        "an endless length": b" " + b"9" * 1000,
        "a length of many zeros": b" " + b"0" * 30 + b"3",
        "a length that is a word": b" chunked",
    }.items()
}
LENGTHS |= {
    "two lengths": post(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"),
    "the same length twice": post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"),
    "two lengths of different case": post(b"Content-Length: 3", b"content-length: 0", body=b"abc"),
    "two lengths far apart": post(b"Content-Length: 0", b"X: a", b"Content-Length: 3", body=b"abc"),
    "a length and an empty one": post(b"Content-Length: 3", b"Content-Length:", body=b"abc"),
    "two lengths in HTTP/1.0": head(b"POST / HTTP/1.0", b"Content-Length: 3", b"Content-Length: 4") + b"abcd",
    "two lengths that hide a request": post(
        b"Content-Length: 0", b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED
    ),
    "two lengths with an upgrade": post(*UPGRADE, b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"),
}

# The coding of the body.

CODINGS = {
    name: post(b"Transfer-Encoding:" + value, body=b"0\r\n\r\n")
    for name, value in {
        "an empty coding": b"",
        "a coding of spaces": b"  ",
        "identity": b" identity",
        "gzip": b" gzip",
        "gzip, chunked": b" gzip, chunked",
        "gzip,chunked": b" gzip,chunked",
        "chunked, gzip": b" chunked, gzip",
        "chunked, identity": b" chunked, identity",
        "identity, chunked": b" identity, chunked",
        "chunked, chunked": b" chunked, chunked",
        "chunked,": b" chunked,",
        ",chunked": b" ,chunked",
        "chunked with a parameter": b" chunked;q=1",
        "chunked with a semicolon": b" chunked;",
        "chunked and a word": b" chunked a",
        "a word and chunked": b" a chunked",
        "xchunked": b" xchunked",
        "chunkedx": b" chunkedx",
        "chunke": b" chunke",
        "chunked in quotes": b' "chunked"',
        "chunked in single quotes": b" 'chunked'",
        "chunked after a vertical tab": b" \x0bchunked",
        "chunked before a vertical tab": b" chunked\x0b",
        "chunked before a form feed": b" chunked\x0c",
        "chunked before a NUL": b" chunked\x00",
        "chunked before a bare CR": b" chunked\r",
        "chunked before a no-break space": b" chunked\xa0",
        "chunked with a long s": b" chun\xc5\xbfed",
        "chunked with a Kelvin sign": b" chun\xe2\x84\xaaed",
        "a coding nobody knows": b" cow",
        "a coding that looks like a header": b" chunked\\r\\n",
    }.items()
}
CODINGS |= {
    "chunked twice": chunks(b"0\r\n\r\n", CHUNKED),
    "chunked and identity": chunks(b"0\r\n\r\n", b"Transfer-Encoding: identity"),
    "identity and chunked": post(b"Transfer-Encoding: identity", CHUNKED, body=b"0\r\n\r\n"),
    "chunked and a coding nobody knows": chunks(b"0\r\n\r\n", b"Transfer-Encoding: cow"),
    "chunked and an empty coding": chunks(b"0\r\n\r\n", b"Transfer-Encoding:"),
    "chunked in HTTP/1.0": head(b"POST / HTTP/1.0", CHUNKED) + b"0\r\n\r\n",
    "chunked in HTTP/1.0 that stays": head(b"POST / HTTP/1.0", CHUNKED, b"Connection: keep-alive")
    + b"0\r\n\r\n",
    "another coding in HTTP/1.0": head(b"POST / HTTP/1.0", b"Transfer-Encoding: gzip") + b"abc",
    "length, then chunked": post(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
    "chunked, then length": chunks(b"0\r\n\r\n", b"Content-Length: 5"),
    "length, then chunked, far apart": post(b"Content-Length: 5", b"X: a", CHUNKED, body=b"0\r\n\r\n"),
    "length 0, then chunked": post(b"Content-Length: 0", CHUNKED, body=b"0\r\n\r\n"),
    "chunked, then length 0": chunks(b"0\r\n\r\n", b"Content-Length: 0"),
    "chunked, length, chunked": chunks(b"0\r\n\r\n", b"Content-Length: 5", CHUNKED),
    "length, chunked, length": post(b"Content-Length: 5", CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n"),
    "length, then identity": post(b"Content-Length: 3", b"Transfer-Encoding: identity", body=b"abc"),
    "identity, then length": post(b"Transfer-Encoding: identity", b"Content-Length: 3", body=b"abc"),
    "length, then another coding": post(b"Content-Length: 3", b"Transfer-Encoding: gzip", body=b"abc"),
    "length and chunked of small letters": post(
        b"content-length: 5", b"transfer-encoding: chunked", body=b"0\r\n\r\n"
    ),
    "length and chunked for GET": get(b"Content-Length: 5", CHUNKED) + b"0\r\n\r\n",
    "length and chunked with an upgrade": post(*UPGRADE, b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
    "CL.TE with a request inside": post(
        b"Content-Length: %d" % (5 + len(SMUGGLED)), CHUNKED, body=b"0\r\n\r\n" + SMUGGLED
    ),
    "TE.CL with a request inside": chunks(
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), b"Content-Length: 4"
    ),
    "TE.TE with a request inside": chunks(b"0\r\n\r\n" + SMUGGLED, b"Transfer-encoding: x"),
    "a coding that Connection takes away, and a length": chunks(
        b"0\r\n\r\n", b"Content-Length: 5", b"Connection: Transfer-Encoding"
    ),
}

# Chunks.

CHUNKS = {
    name: chunks(body)
    for name, body in {
        "a chunk without a size": b"\r\nabc\r\n0\r\n\r\n",
        "a chunk whose size is a letter": b"x\r\n\r\n",
        "a signed size": b"+3\r\nabc\r\n0\r\n\r\n",
        "a negative size": b"-3\r\nabc\r\n0\r\n\r\n",
        "a size with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
        "a size with an h": b"3h\r\nabc\r\n0\r\n\r\n",
        "a size with an underscore": b"0_3\r\nabc\r\n0\r\n\r\n",
        "a size with a dot": b"3.0\r\nabc\r\n0\r\n\r\n",
        "a size in quotes": b'"3"\r\nabc\r\n0\r\n\r\n',
        "a size after a space": b" 3\r\nabc\r\n0\r\n\r\n",
        "a size after a tab": b"\t3\r\nabc\r\n0\r\n\r\n",
        "a size before a space": b"3 \r\nabc\r\n0\r\n\r\n",
        "a size before a tab": b"3\t\r\nabc\r\n0\r\n\r\n",
        "a size with a space in it": b"0 3\r\nabc\r\n0\r\n\r\n",
        "a size with a NUL": b"3\x00\r\nabc\r\n0\r\n\r\n",
        "a size with a vertical tab": b"3\x0b\r\nabc\r\n0\r\n\r\n",
        "a size with a comma": b"3,3\r\nabc\r\n0\r\n\r\n",
        "a size of full-width digits": b"\xef\xbc\x93\r\nabc\r\n0\r\n\r\n",
        "a size beyond 64 bits": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
        "a size of many f": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "an endless size": b"f" * 1000 + b"\r\nabc\r\n0\r\n\r\n",
        "a bare LF after a size": b"3\nabc\r\n0\r\n\r\n",
        "a bare CR after a size": b"3\rabc\r\n0\r\n\r\n",
        "two CRs after a size": b"3\r\r\nabc\r\n0\r\n\r\n",
        "a bare LF after an extension": b"3;a=b\nabc\r\n0\r\n\r\n",
        "a bare CR in an extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
        "a NUL in an extension": b"3;a\x00\r\nabc\r\n0\r\n\r\n",
        "a control byte in an extension": b"3;a=\x01\r\nabc\r\n0\r\n\r\n",
        "a space before an extension": b"3 ;a\r\nabc\r\n0\r\n\r\n",
        "an extension without a name": b"3;\r\nabc\r\n0\r\n\r\n",
        "an open quote in an extension": b'3;a="b\r\nabc\r\n0\r\n\r\n',
        "a line end in a quoted extension": b'3;a="\r\n0\r\n\r\n"\r\nabc\r\n0\r\n\r\n',
        "an extension that is huge": b"3;a=" + b"b" * 40_000 + b"\r\nabc\r\n0\r\n\r\n",
        "an extension that is huge for each byte": (b"1;a=" + b"b" * 9000 + b"\r\na\r\n") * 6 + b"0\r\n\r\n",
        "an extension that is huge at the end": b"3\r\nabc\r\n0;a=" + b"b" * 40_000 + b"\r\n\r\n",
        "no line end after the data": b"3\r\nabc0\r\n\r\n",
        "a bare LF after the data": b"3\r\nabc\n0\r\n\r\n",
        "a bare CR after the data": b"3\r\nabc\r0\r\n\r\n",
        "a space after the data": b"3\r\nabc \r\n0\r\n\r\n",
        "two line ends after the data": b"3\r\nabc\r\n\r\n0\r\n\r\n",
        "more data than the size": b"3\r\nabcde\r\n0\r\n\r\n",
        "less data than the size": b"5\r\nabc\r\n0\r\n\r\n" + b"x" * 20,
        "a last chunk of a bare LF": b"3\r\nabc\r\n0\n\n",
        "a last chunk that ends in a bare LF": b"3\r\nabc\r\n0\r\n\n",
        "a last chunk that is signed": b"3\r\nabc\r\n-0\r\n\r\n",
        "a last chunk with 0x": b"3\r\nabc\r\n0x0\r\n\r\n",
        "a last chunk and no empty line": b"3\r\nabc\r\n0\r\n",
        "a bad chunk after a good one": b"3\r\nabc\r\nx\r\n\r\n",
        "a trailer with a length": b"0\r\nContent-Length: 3\r\n\r\n",
        "a trailer with a coding": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "a trailer with a NUL": b"0\r\nX: a\x00b\r\n\r\n",
        "a trailer with a control byte": b"0\r\nX: a\x01b\r\n\r\n",
        "a trailer without a colon": b"0\r\nX\r\n\r\n",
        "a trailer without a name": b"0\r\n: a\r\n\r\n",
        "a trailer with a space before the colon": b"0\r\nX : a\r\n\r\n",
        "a trailer with a bare LF": b"0\r\nX: a\nY: b\r\n\r\n",
        "a trailer with a bare CR": b"0\r\nX: a\rY: b\r\n\r\n",
        "a folded trailer": b"0\r\nX: a\r\n b\r\n\r\n",
        "a trailer that is huge": b"0\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        "one trailer too many": b"0\r\n" + b"X: a\r\n" * 129 + b"\r\n",
        "many trailers": b"0\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
    }.items()
}
CHUNKS |= {
    "a bad chunk with an upgrade": post(*UPGRADE, CHUNKED, body=b"x\r\n\r\n"),
    "a bad size that hides a request": chunks(b"0x0\r\n\r\n" + SMUGGLED),
    "a bad last chunk that hides a request": chunks(b"3\r\nabc\r\n0\n\r\n" + SMUGGLED),
}

UPGRADES = {
    "an upgrade with a bad coding": post(*UPGRADE, b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "an upgrade with a bad length": post(*UPGRADE, b"Content-Length: +3", body=b"abc"),
    "an upgrade in HTTP/1.0 with chunks": head(b"GET / HTTP/1.0", *UPGRADE, CHUNKED) + b"0\r\n\r\n",
    "an upgrade without Host": bare(b"GET / HTTP/1.1", *UPGRADE),
    "an upgrade of CONNECT": head(b"CONNECT shop.test:80 HTTP/1.1", *UPGRADE),
    "an upgrade that is folded": get(b"Connection: Upgrade", b"Upgrade: web\r\n socket"),
}

REFUSED = {**LINES, **TARGETS, **HOSTS, **HEADERS, **LENGTHS, **CODINGS, **CHUNKS, **UPGRADES}

# What follows a good request on its connection: name to the good one and what comes after it.

FIRST = get(target=b"/first")
REFUSED_AFTER_A_GOOD_ONE = {
    "garbage": (FIRST, b"garbage\r\n\r\n"),
    "NULs": (FIRST, b"\x00\x00\x00\x00"),
    "a bare LF": (FIRST, b"\n" + GET),
    "a bare CR": (FIRST, b"\r" + GET),
    "a space": (FIRST, b" " + GET),
    "two spaces in the line": (FIRST, head(b"GET  / HTTP/1.1")),
    "RTSP": (FIRST, head(b"OPTIONS / RTSP/1.0")),
    "small letters": (FIRST, head(b"get / HTTP/1.1")),
    "a request without Host": (FIRST, bare(b"GET /smuggled HTTP/1.1")),
    "length and chunked": (FIRST, post(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n")),
    "a bad chunk": (FIRST, chunks(b"x\r\n\r\n")),
    "a body nobody announced": (post(target=b"/first"), b"a=b&c=d"),
    "a body longer than its length": (
        post(b"Content-Length: 3", body=b"abc", target=b"/first"),
        b"d=e\r\n" + SMUGGLED,
    ),
    "a line end and more after a body": (
        post(b"Content-Length: 3", body=b"abc", target=b"/first"),
        b"\r\n\r\n" + SMUGGLED,
    ),
    "a bare LF after a body": (post(b"Content-Length: 3", body=b"abc", target=b"/first"), b"\n" + SMUGGLED),
    "garbage after chunks": (chunks(b"3\r\nabc\r\n0\r\n\r\n", target=b"/first"), b"abc\r\n" + SMUGGLED),
    "two spaces after chunks": (
        chunks(b"3\r\nabc\r\n0\r\n\r\n", target=b"/first"),
        head(b"GET  /smuggled HTTP/1.1"),
    ),
    "more chunks after the last": (
        chunks(b"3\r\nabc\r\n0\r\n\r\n", target=b"/first"),
        b"3\r\nabc\r\n0\r\n\r\n",
    ),
    "frames after an upgrade": (get(*UPGRADE, target=b"/first"), b"\x81\x05hello"),
    "chunks after GET without a coding": (get(target=b"/first"), b"0\r\n\r\n"),
    "HTTP/2's preface after h2c": (
        get(b"Connection: Upgrade", b"Upgrade: h2c", target=b"/first"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ),
    "garbage after an upgrade's body": (
        post(*UPGRADE, b"Content-Length: 3", body=b"abc", target=b"/first"),
        b"abc\r\n\r\n",
    ),
}


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What the backend must understand. `has` and `lacks` name headers in small letters."""

    method: bytes
    target: bytes
    body: bytes = b""
    host: bytes = b"shop.test"
    has: tuple[tuple[bytes, bytes], ...] = ()
    lacks: tuple[bytes, ...] = ()
    trailers: tuple[tuple[bytes, bytes], ...] = ()


def _got(*rows, target=b"/", **parts):
    return get(*rows, target=target), Meaning(b"GET", target, **parts)


def _posted(*rows, body, means, **parts):
    return post(*rows, body=body), Meaning(b"POST", b"/", means, **parts)


def _asked(line, *rows, **parts):
    method, target, _ = line.split(b" ")
    return head(line, *rows), Meaning(method, target, **parts)


def _hosted(host):
    return bare(b"GET / HTTP/1.1", b"Host: " + host), Meaning(b"GET", b"/", host=host)


LOOKS_BAD = b"0\r\n\r\n" + SMUGGLED + b"\x00\xff\r\n.\r\n"

PASSED = {
    "a plain request": _got(),
    "an empty line before it": (b"\r\n" + GET, Meaning(b"GET", b"/")),
    "HEAD": _asked(b"HEAD / HTTP/1.1"),
    "OPTIONS of a star": _asked(b"OPTIONS * HTTP/1.1"),
    "OPTIONS of a path": _asked(b"OPTIONS /a HTTP/1.1"),
    "DELETE": _asked(b"DELETE /a HTTP/1.1"),
    "TRACE": _asked(b"TRACE / HTTP/1.1"),
    "a method with a dash": _asked(b"M-SEARCH / HTTP/1.1"),
    "PROPFIND": _asked(b"PROPFIND /a HTTP/1.1", b"Depth: 1", has=((b"depth", b"1"),)),
    "HTTP/1.0": _asked(b"GET / HTTP/1.0"),
    "HTTP/1.0 without Host": (bare(b"GET / HTTP/1.0"), Meaning(b"GET", b"/", host=b"")),
    "HTTP/1.0 with a length": (
        head(b"POST / HTTP/1.0", b"Content-Length: 3") + b"abc",
        Meaning(b"POST", b"/", b"abc"),
    ),
    "an absolute target": (get(target=b"http://shop.test/a?b"), Meaning(b"GET", b"/a?b")),
    "an absolute target in capitals": (get(target=b"HTTP://SHOP.TEST/A"), Meaning(b"GET", b"/A")),
    "an absolute target without a path": (get(target=b"http://shop.test"), Meaning(b"GET", b"/")),
    "an absolute target with a port": (
        bare(b"GET http://shop.test:80/ HTTP/1.1", b"Host: shop.test:80"),
        Meaning(b"GET", b"/", host=b"shop.test:80"),
    ),
    "a target with dots": _got(target=b"/a/../b/./c"),
    "a target with slashes": _got(target=b"//a//b"),
    "a target with escapes": _got(target=b"/%2e%2e%2f%00%0d%0a"),
    "a target with a broken escape": _got(target=b"/%zz%"),
    "a target with a URL in its query": _got(target=b"/?u=http://other/a?b"),
    "a target with braces": _got(target=b'/?a={"b":[1|2]}^`\\'),
    "a target with parameters": _got(target=b"/a;v=1/b;w"),
    "a target of 8 KiB": _got(target=b"/" + b"a" * 8191),
    "an empty query": _got(target=b"/?"),
    "a Host in capitals": _hosted(b"SHOP.Test"),
    "a Host with a port": _hosted(b"shop.test:65535"),
    "a Host of IPv4": _hosted(b"127.0.0.1:80"),
    "a Host of IPv6": _hosted(b"[::1]:80"),
    "a Host with an underscore": _hosted(b"a_b.test"),
    "a Host with an escape": _hosted(b"a%2db"),
    "an empty Host": _hosted(b""),
    "a Host with a dot at its end": _hosted(b"shop.test."),
    "Host in small letters, last": (
        bare(b"GET / HTTP/1.1", b"X: a", b"host:shop.test"),
        Meaning(b"GET", b"/", has=((b"x", b"a"),)),
    ),
    "a value without a space before it": _got(b"X:a", has=((b"x", b"a"),)),
    "a value with tabs around it": _got(b"X:\t a \t", has=((b"x", b"a"),)),
    "a value with a tab in it": _got(b"X: a\tb", has=((b"x", b"a\tb"),)),
    "a value of UTF-8": _got(b"X: \xc3\xa4", has=((b"x", b"\xc3\xa4"),)),
    "a value of latin-1": _got(b"X: \xe4", has=((b"x", b"\xe4"),)),
    "an empty value": _got(b"X:", has=((b"x", b""),)),
    "a value of colons": _got(b"X: a: b:", has=((b"x", b"a: b:"),)),
    "a value that looks like a header": _got(
        b"X: Content-Length: 3", has=((b"x", b"Content-Length: 3"),), lacks=(b"content-length",)
    ),
    "a value with escaped line ends": _got(b"X: a\\r\\nY: b", has=((b"x", b"a\\r\\nY: b"),), lacks=(b"y",)),
    "a name of odd characters": _got(b"!#$%&'*+-.^_`|~09: a", has=((b"!#$%&'*+-.^_`|~09", b"a"),)),
    "a name of one character": _got(b"a: b", has=((b"a", b"b"),)),
    "the same header twice": _got(b"X: a", b"x: b", has=((b"x", b"a"), (b"x", b"b"))),
    "as many headers as may be": _got(*[b"X: a"] * 127),
    "headers of the hop": _got(
        b"Connection: X-Hop, close",
        b"X-Hop: 1",
        b"TE: gzip",
        b"Keep-Alive: 5",
        lacks=(b"x-hop", b"te", b"keep-alive"),
    ),
    "a Connection that names the length": _posted(
        b"Connection: Content-Length",
        b"Content-Length: 3",
        body=b"abc",
        means=b"abc",
        has=((b"content-length", b"3"),),
    ),
    "a Connection that names the Host": _got(b"Connection: Host"),
    "a Connection that names the coding": _posted(
        CHUNKED, b"Connection: Transfer-Encoding", body=b"3\r\nabc\r\n0\r\n\r\n", means=b"abc"
    ),
    "who asked before": _got(
        b"X-Forwarded-For: 10.1.1.1, 10.2.2.2",
        b"x-forwarded-for: 10.3.3.3",
        b"X-Forwarded-Proto: https",
        has=((b"x-forwarded-proto", b"http"),),
    ),
    "names disguised for applications": _got(
        b"Content_Length: 3",
        b"Transfer_Encoding: chunked",
        b"X_Forwarded_For: 1.1.1.1",
        b"X-Forwarded_Host: other",
        b"X_Name: kept",
        lacks=(b"content_length", b"transfer_encoding", b"x_forwarded_for", b"x-forwarded_host"),
        has=((b"x_name", b"kept"),),
    ),
    "a length": _posted(b"Content-Length: 3", body=b"abc", means=b"abc"),
    "a length in small letters": _posted(b"content-length:3", body=b"abc", means=b"abc"),
    "a length with zeros before it": _posted(b"Content-Length: 003", body=b"abc", means=b"abc"),
    "a length of 0": _posted(b"Content-Length: 0", body=b"", means=b""),
    "no length": _posted(body=b"", means=b""),
    "a length for GET": (get(b"Content-Length: 3") + b"abc", Meaning(b"GET", b"/", b"abc")),
    "a body that looks like requests": _posted(
        b"Content-Length: %d" % len(LOOKS_BAD), body=LOOKS_BAD, means=LOOKS_BAD
    ),
    "a body of every byte": _posted(b"Content-Length: 256", body=bytes(range(256)), means=bytes(range(256))),
    "chunks": _posted(CHUNKED, body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", means=b"abcde"),
    "chunked in capitals": _posted(
        b"TRANSFER-ENCODING: CHUNKED", body=b"3\r\nabc\r\n0\r\n\r\n", means=b"abc"
    ),
    "chunked after a tab": _posted(
        b"Transfer-Encoding:\tchunked", body=b"3\r\nabc\r\n0\r\n\r\n", means=b"abc"
    ),
    "chunks for GET": (get(CHUNKED) + b"3\r\nabc\r\n0\r\n\r\n", Meaning(b"GET", b"/", b"abc")),
    "no chunk but the last": _posted(CHUNKED, body=b"0\r\n\r\n", means=b""),
    "sizes in capitals": _posted(CHUNKED, body=b"A\r\n0123456789\r\n0\r\n\r\n", means=b"0123456789"),
    "sizes with zeros": _posted(CHUNKED, body=b"0003\r\nabc\r\n000\r\n\r\n", means=b"abc"),
    "extensions": _posted(CHUNKED, body=b'3;a;b=c;d="e f"\r\nabc\r\n0;x\r\n\r\n', means=b"abc"),
    "trailers": _posted(
        CHUNKED,
        b"Trailer: X-Sum, Host",
        body=b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: other\r\nX_Forwarded_For: 9\r\nx-B: 2\r\n\r\n",
        means=b"abc",
        has=((b"trailer", b"X-Sum"),),
        lacks=(b"x-sum",),
        trailers=((b"x-sum", b"1"), (b"x-b", b"2")),
    ),
    "trailers of families that mean something in a head": _posted(
        b"Trailer: Xexpect" + b"\xff" * 27 + b"Host",
        CHUNKED,
        b"Trailer: XexpectHost",
        body=b"3\r\nabc\r\n0\r\nTrailer: X-Sum, ostr\r\nX_rwarded_For: 9\r\nX-Forwarded-*For: 1\r\n"
        b"x-original-*url: /\r\nx-B: 2\r\n\r\n",
        means=b"abc",
        has=((b"trailer", b"XexpectHost"),),
        trailers=((b"x_rwarded_for", b"9"), (b"x-b", b"2")),
    ),
    "trailers that Connection names": _posted(
        CHUNKED,
        b"Connection: X-Hop",
        body=b"0\r\nX-Hop: 1\r\nX-Sum: 1\r\n\r\n",
        means=b"",
        trailers=((b"x-sum", b"1"),),
    ),
    "as many trailers as may be": _posted(
        CHUNKED, body=b"0\r\n" + b"X: a\r\n" * 128 + b"\r\n", means=b"", trailers=((b"x", b"a"),) * 128
    ),
    "a client that takes trailers": _got(b"TE: trailers", has=((b"te", b"trailers"), (b"connection", b"TE"))),
    "a client that takes them besides other things": _got(
        b"TE: gzip;q=0.5, Trailers", b"Connection: TE", has=((b"te", b"trailers"),)
    ),
    "chunks that look like requests": _posted(
        CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(LOOKS_BAD), LOOKS_BAD), means=LOOKS_BAD
    ),
    "many small chunks": _posted(CHUNKED, body=b"1\r\na\r\n" * 5000 + b"0\r\n\r\n", means=b"a" * 5000),
    "an Upgrade": _got(*UPGRADE, has=((b"upgrade", b"websocket"), (b"connection", b"Upgrade"))),
    "an Upgrade to HTTP/2": _got(
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAEAAEAAAAIAAAAB",
        lacks=(b"upgrade", b"connection", b"http2-settings"),
    ),
    "an Upgrade with a body": _posted(
        *UPGRADE, b"Content-Length: 3", body=b"abc", means=b"abc", lacks=(b"upgrade",)
    ),
    "an Upgrade with chunks": _posted(*UPGRADE, CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n", means=b"abc"),
    "an Upgrade that Connection does not name": _got(b"Upgrade: h2c", lacks=(b"upgrade",)),
    "an Expect": _posted(b"Expect: 100-continue", b"Content-Length: 3", body=b"abc", means=b"abc"),
}
