"""Values: strings, numbers, invalid words, timestamps in every form; all as JSON text."""

import json
from random import Random

# Occurs in strings, so that a detail or an error that quotes content can be detected.
CANARY = "zq7canary"

TEXTS = [
    *('""', '"x"', '"あ 🐟"', '"é"', '"12"', '"-0"', '"1e3"', '"true"', '"null"', '"NaN"', '"{}"', '"[1]"', '" a "'),
    *('"\\u0022"', '"\\"q\\""', '"\\\\"', '"\\\\\\""', '"\\/"', '"\\b\\f\\n\\r\\t"', '"\\u0041"', '"a\\u0000b"'),
    *('"\\u0000"', '"\\ud83d\\ude00"', '"\\uD83D\\uDE00"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud800\\ud83d\\ude00"'),
    *('", }"', '",]"', '"}"', '"{"', '"]"', '"["', '":"', '"//"', '"/* */"', '"\\u001e"', '"\x7f"', '"\u2028"'),
    *('"\ufeff"', '"\ufffd"', '"\x85"', '"user"', '"User"', '"SYSTEM"', '"ＵＳＥＲ"', '"ſystem"', '"user\\u0000"'),
    *('"r1"', '"r2"', '"u1"', '"m1"', '"m2"', '"acme"', '"globex"', '"\\u0072\\u0031"', '"\u0130"', '"ﬃ"'),
    *('"{\\"message_id\\":\\"m9\\"}"', '"\\\\u0041"', '"\\\\ud800"', '"\\\\\\ud800"'),
    *('"%s"', '"$.a"', '"\'"', '"\\u00e9"'),
    # A lone surrogate as bytes, which is not UTF-8.
    '"a\ud83db"', f'"{CANARY}"', f'"{CANARY} 2025"',
    '"' + "x" * 511 + '"', '"' + "x" * 512 + '"', '"' + "あ" * 513 + '"', '"a,b=c"',
]  # fmt: skip
NUMBERS = [
    *("0", "-0", "1", "-1", "12", "1.0", "12.0", "-12.0", "0.0", "-0.0", "1.5", "1.50", "1e3", "1E3", "1e+3", "1E-3"),
    *("12.000000000000000000000", "123456789012345678901234567890", "9223372036854775807", "9223372036854775808"),
    *("9223372036854775807.0", "9223372036854775806.9", "18446744073709551616", "1e400", "-1e400", "1e-400", "0e0"),
    *("0e999999999999999999999", "1e999999999999999999999", "1e-999999999999999999999", "0.1", "0.10000000000000001"),
    *("9007199254740993", "4.9e-324", "1.7976931348623157e308", "1.7976931348623159e308", "2.2250738585072011e-308"),
    *("0.1000000000000000055", "0.1000000000000000055511151231257827", "0.30000000000000001", "1.00000000000000000000"),
    *("5e-324", "2e-324", "1.5e-323", "1e-4000", "123456789.0000000000000001", "0.00000000000000000000000000000000001"),
    *("999999999999999", "9999999999999999", "0.30000000000000004", "123456789.123456789", "100000000000000000000.0"),
]  # fmt: skip
# Values of other languages and lenient writers.
INVALID = [
    *("NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "None", "True", "False", "TRUE", "NULL", "Null", "nil"),
    *("undefined", "tru", "nul", "falsee", "nullnull", "01", "-01", "00", "+1", ".5", "1.", "-", "-.5", "1e", "1e+"),
    *("0x1F", "1_000", "1,5", "1 2", "'x'", "`x`", "“x”", "x", "", "{,}", "[,]", "{1:2}", "{a:1}", "[1,]", '{"a":1,}'),
    *('{"a"}', '{"a":}', '{"a" 1}', '"a" "b"', '"a\tb"', '"a\nb"', '"a\x01b"', '"\\x41"', '"\\u12"', '"\\u00g0"'),
    *('"\\U0041"', '"\\\'"', '"\\ud8"', '"\\', '"', '"a', "/*c*/1", "1//c", "\ufeff1", "\x0b1", "\xa01", "１", "−1"),
    *("ObjectId(1)", "new Date(0)", "b'x'", "<a/>", "--", "...", "…", "\x00", "true false", "]", "}", ")", "\\", "#"),
]  # fmt: skip
PLAIN = ["null", "true", "false", "{}", "[]", "[[]]", "[{}]", "[null]", '{"a":null}', '{"":0}', "[null,{}]", "[1,2]"]

DATES = [
    *("2025-08-12", "2025-08-12", "2025-08-12", "2025-08-12", "2025-08-11", "2025-08-13"),
    *("2025/08/12", "20250812", "2025-Aug-12"),
    *("12 Aug 2025", "12-Aug-2025", "12/Aug/2025", "Aug 12 2025", "Aug 12, 2025", "Tue, 12 Aug 2025", "Tue Aug 12"),
    *("2 Aug 2025", "Aug  2 2025", "12/08/2025", "2025-8-12", "0000-08-12", "2025-02-29", "2024-02-29", "2025-13-01"),
    *("9999-12-31", "0001-01-01", "2025-11-02", "2025-03-09", "2025.08.12", "２０２５-08-12"),
    *("+2025-08-12", "2025-224"),
]  # fmt: skip
BETWEEN = ["T", "T", "T", "T", "t", " ", " ", "  ", ":", "_", "", "　"]
CLOCKS = [
    *("01:02:03", "01:02:03", "01:02:03", "01:02:60", "14:59:59", "15:00:00", "00:00:00"),
    *("23:59:60", "01:02:60", "01:02:61"),
    *("24:00:00", "01:02", "0102", "010203", "1:02:03", "01:60:00", "25:00:00", "01-02-03", "01:30:00", "01:02:03 AM"),
]  # fmt: skip
FRACTIONS = [
    *("", "", ".5", ".25", ".5", ".25", ".250", ".123456", ".1234567", ".999999999", ",5", "."),
    *(".000", ",123", ".0" + "1" * 30),
    ".x", ":250",
]  # fmt: skip
ZONES = [
    *("Z", "", "+00:00", "+09:00", "z", "+00:00", "+09:00", "+0900", "+09", "-0330", "-03:30"),
    *(" +0000", " +09:00", " Z", "UTC"),
    *(" UTC", " GMT", "GMT", "+09:00[Asia/Tokyo]", "[Asia/Tokyo]", " +0000 UTC", " +0900 UTC", " +0900 JST", " JST"),
    *(" GMT+0900", " GMT+0900 (Japan Standard Time)", "+24:00", "+09:60", "+9", "+09:", "Z[UTC]"),
    *(" m=+0.5", " Asia/Tokyo"),
    *(" +0900 JST m=+0.000012", " +0000 UTC m=+0.5", " +0900 (JST)", "-00:00", "+00:00 UTC", "Z ", "ZZ", " +0900 GMTX"),
    " 2025", " UTC 2025", " +0900 2025",
]  # fmt: skip
EPOCHS = [
    *("1754960523", "1754960523123", "1754960523123456", "1754960523123456789", "1754960523.1234567", "1754960523.5"),
    *("1754960523123.4567", "1.754960523123E12", "1754960523e0", "175496052312e-2", "01754960523", "-1", "0", "1e20"),
    *("100000000000", "99999999999", "99999999999999", "100000000000000", "1e-400", "1.", "+1754960523", "1 754", "-0"),
    *("17549605230000000000", "175496052300000000000", "1754960523.000000000000000000000001", "1754960523E+0"),
    *("/Date(1754960523123)/", "/Date(-1)/", "/Date(1754960523123+0900)/", "/Date(x)/", "01:02:03Z", "now", ""),
]  # fmt: skip


def value(rng: Random, depth: int = 2) -> str:
    """Return any JSON value, sometimes an invalid one."""
    roll = rng.random()
    if roll < 0.35:
        return rng.choice(TEXTS)
    if roll < 0.6:
        return number(rng)
    if roll < 0.72 or depth == 0:
        return rng.choice(PLAIN)
    if roll < 0.75:
        return rng.choice(INVALID)
    inner = [value(rng, depth - 1) for _ in range(rng.randrange(3))]
    if roll < 0.9:
        return "[" + ",".join(inner) + "]"
    return "{" + ",".join(f"{rng.choice(TEXTS)}:{each}" for each in inner) + "}"


def number(rng: Random) -> str:
    """Return a number from the list, or one of random digits."""
    if rng.random() < 0.6:
        return rng.choice(NUMBERS)
    digits = "".join(rng.choice("0123456789") for _ in range(rng.choice((1, 3, 15, 16, 17, 18, 19, 20, 40))))
    point = rng.randrange(len(digits) + 1)
    integer, fraction = digits[:point].lstrip("0") or "0", digits[point:]
    exponent = rng.choice(("", "", "", f"e{rng.randrange(-330, 330)}", "E+2", "e-0"))
    return rng.choice(("", "", "-")) + integer + ("." + fraction if fraction else "") + exponent


def text(rng: Random) -> str:
    """Return a string of a few letters, with random escapes."""
    letters = rng.choices('abc "\\/あé🐟{}[]:,\x7f\u2028\u0301\t\n', k=rng.randrange(12))
    plain = "".join(letters) + rng.choice(("", "", CANARY))
    return escape(rng, plain) if rng.random() < 0.3 else json.dumps(plain, ensure_ascii=rng.random() < 0.5)


def escape(rng: Random, plain: str) -> str:
    """Return the same string with some letters as \\u escapes."""
    return (
        '"'
        + "".join(_escaped(rng, letter) if rng.random() < 0.4 else json.dumps(letter)[1:-1] for letter in plain)
        + '"'
    )


def _escaped(rng: Random, letter: str) -> str:
    encoded = letter.encode("utf-16-be", "surrogatepass")
    template = "\\u{:04x}" if rng.random() < 0.5 else "\\u{:04X}"
    return "".join(template.format(int.from_bytes(encoded[at : at + 2], "big")) for at in range(0, len(encoded), 2))


def instant(rng: Random) -> str:
    """Return a timestamp in any form."""
    roll = rng.random()
    if roll < 0.2:
        plain = rng.choice(EPOCHS)
        return plain if rng.random() < 0.5 and plain not in ("", "now") else json.dumps(plain)
    # The first entries are the usual ones: a timestamp with two unusual parts is rarely readable.
    parts = [
        rng.choice(each[:4] if rng.random() < 0.7 else each) for each in (DATES, BETWEEN, CLOCKS, FRACTIONS, ZONES)
    ]
    date, clock, plain = parts[0], parts[2], "".join(parts)
    if roll < 0.25:
        plain = rng.choice(
            (date, clock, " " + plain, plain + " ", plain.lower(), plain + "x" * 90, plain.replace(":", ""))
        )
    return escape(rng, plain) if roll > 0.95 else json.dumps(plain, ensure_ascii=False)
