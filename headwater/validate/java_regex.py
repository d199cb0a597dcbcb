"""Syntax of regular expressions by Java's rules, which Spark matches by: what `java.util.regex.Pattern` would not compile.

Grammar: the documentation of java.util.regex.Pattern of Java 17; tests/spark/test_java_regex.py holds it against Java itself.
"""

from __future__ import annotations

import re
import string
import sys
import unicodedata

# Escapes of one letter or digit, and those of them that stand for characters, as a class wants it.
_LETTERS = frozenset(string.ascii_letters + string.digits)
_PLAIN = frozenset("abefnrtdDhHsSvVwWBAGZzRX123456789")
_IN_CLASSES = frozenset("aefnrtdDhHsSvVwW")
# What follows the letter of an escape that says a character by its number.
_FORMS = {
    "0": (re.compile(r"[0-7]"), "an octal escape, such as \\012"),
    "x": (re.compile(r"[0-9a-fA-F]{2}|\{[0-9a-fA-F]{1,6}\}"), "a hexadecimal escape, such as \\x0a"),
    "u": (re.compile(r"[0-9a-fA-F]{4}"), "a Unicode escape, such as \\u000a"),
    "c": (re.compile(r"."), "a control character, such as \\cJ"),
}
_FLAGS = re.compile(r"[idmsuxU]*(-[idmsuxU]*)?")
_REPETITION = re.compile(r"\{(\d+)(,(\d*))?\}")
_NAME = re.compile(r"<([a-zA-Z][a-zA-Z0-9]*)>")
_PROPERTY = re.compile(r"\{([^}]*)\}|.", re.DOTALL)
_CONTROLS = {"a": "\a", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_MOST = 2**31 - 1
_POSIX = frozenset(
    [
        "Lower",
        "Upper",
        "ASCII",
        "Alpha",
        "Digit",
        "Alnum",
        "Punct",
        "Graph",
        "Print",
        "Blank",
        "Cntrl",
        "XDigit",
        "Space",
        "L1",
        "all",
        "LC",
        "LD",
    ]
)


class PatternSyntaxError(ValueError):
    """A pattern that Java does not compile: what is wrong, and after how many characters."""


def check_pattern(pattern: str) -> None:
    """PatternSyntaxError for a pattern that Java would not compile."""
    _Pattern(pattern).read()


class _Pattern:
    """One reading of a pattern, from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.names: set[str] = set()

    def read(self) -> None:
        self._alternatives()
        if self.at < len(self.text):
            self._fail("unmatched closing ')'")

    def _fail(self, why: str) -> None:
        raise PatternSyntaxError(f"{why}, after {self.at} characters of {self.text!r}")

    def _peek(self, *wanted: str) -> bool:
        return any(self.text.startswith(text, self.at) for text in wanted)

    def _take(self, wanted: str) -> bool:
        found = self._peek(wanted)
        self.at += len(wanted) if found else 0
        return found

    def _alternatives(self) -> None:
        """Alternatives up to the end or a closing bracket."""
        while True:
            while self.at < len(self.text) and not self._peek("|", ")"):
                if self._item():
                    self._quantifier()
            if not self._take("|"):
                return

    def _item(self) -> bool:
        """Reads one item; whether a quantifier may follow it."""
        match self.text[self.at]:
            case "*" | "+" | "?":
                self._fail("a quantifier with nothing before it")
            case "{":
                pass  # Java repeats nothing, and lets it be
            case "(":
                return self._group()
            case "[":
                self.at += 1
                self._class()
            case "\\":
                self._escape(in_class=False)
            case _:
                self.at += 1
        return True

    def _quantifier(self) -> None:
        if self._peek("{"):
            found = _REPETITION.match(self.text, self.at)
            if found is None:
                self._fail("an illegal repetition; a literal { is \\{")
                return
            least, most = int(found[1]), int(found[3] or found[1])
            if least > most or most > _MOST:
                self._fail(f"an illegal range of repetitions {found[0]}")
            self.at = found.end()
        elif self._peek("*", "+", "?"):
            self.at += 1
        else:
            return
        if self._peek("?", "+"):
            self.at += 1

    def _group(self) -> bool:
        opened = self.at
        self.at += 1
        if self._take("?"):
            if self._peek("<") and not self._peek("<=", "<!"):
                self._group_name()
            elif not any(self._take(kind) for kind in (":", "=", "!", ">", "<=", "<!")):
                found = _FLAGS.match(self.text, self.at)
                self.at = found.end() if found else self.at
                if self._take(")"):
                    return False
                if not self._take(":"):
                    self._fail("an unknown kind of group")
        self._alternatives()
        if not self._take(")"):
            self.at = opened
            self._fail("an unclosed group")
        return True

    def _group_name(self) -> None:
        found = _NAME.match(self.text, self.at)
        if found is None:
            self._fail("a group's name has letters and digits, and begins with a letter")
            return
        if found[1] in self.names:
            self._fail(f"two groups are named {found[1]}")
        self.names.add(found[1])
        self.at = found.end()

    def _escape(self, *, in_class: bool) -> None:
        self.at += 1
        if self.at == len(self.text):
            self._fail("a \\ with nothing after it")
        letter = self.text[self.at]
        self.at += 1
        if letter in _FORMS:
            form, what = _FORMS[letter]
            self._digits(form, what)
        elif letter in "pP":
            self._property()
        elif letter == "N":
            self._unicode_name()
        elif letter == "Q":
            self._quotation()
        elif letter == "k" and not in_class:
            self._back_reference()
        elif letter in _LETTERS and letter not in (_IN_CLASSES if in_class else _PLAIN):
            self._fail(f"an unknown escape \\{letter}")

    def _quotation(self) -> None:
        end = self.text.find("\\E", self.at)
        self.at = len(self.text) if end < 0 else end + 2

    def _back_reference(self) -> None:
        found = _NAME.match(self.text, self.at)
        if found is None or found[1] not in self.names:
            self._fail("\\k without the name of a group before it, such as \\k<name>")
        else:
            self.at = found.end()

    def _digits(self, form: re.Pattern[str], what: str) -> None:
        found = form.match(self.text, self.at)
        if found is None:
            self._fail(f"no {what}")
        else:
            self.at = found.end()

    def _unicode_name(self) -> None:
        found = _PROPERTY.match(self.text, self.at)
        name = found[1] if found else None
        try:
            unicodedata.lookup(name or "")
        except KeyError:
            self._fail("\\N without a character's name, such as \\N{LATIN SMALL LETTER A}")
        self.at += len(f"{{{name}}}")

    def _property(self) -> None:
        found = _PROPERTY.match(self.text, self.at)
        name = (found[1] if found and found[1] is not None else found[0]) if found else ""
        if found is None or not _is_property(name):
            self._fail(f"an unknown property \\p{{{name}}}")
        else:
            self.at = found.end()

    def _class(self) -> None:
        """Reads a character class, whose opening bracket is read."""
        opened = self.at - 1
        self._take("^")
        empty = True
        while True:
            if self.at >= len(self.text):
                self.at = opened
                self._fail("an unclosed character class")
            if self._peek("]") and not empty:
                self.at += 1
                return
            if self._take("["):
                self._class()
            elif self._take("&&"):
                continue
            else:
                self._range()
            empty = False

    def _range(self) -> None:
        first = self._member()
        if first is not None and self._peek("-") and not self._peek("-]", "-["):
            self.at += 1
            if self.at >= len(self.text):
                self._fail("an unclosed character class")
            last = self._member()
            if last is None or last < first:
                self._fail("an illegal range of characters")

    def _member(self) -> str | None:
        """Reads a character of a class, and returns it; None for an escape that stands for several."""
        if not self._peek("\\"):
            self.at += 1
            return self.text[self.at - 1]
        start = self.at
        self._escape(in_class=True)
        letter, rest = self.text[start + 1], self.text[start + 2 : self.at]
        match letter:
            case "x" | "u":
                return chr(min(int(rest.strip("{}"), 16), sys.maxunicode))
            case "0":
                return chr(int(rest, 8))
            case "c":
                return chr(ord(rest) ^ 64)
            case "N":
                return unicodedata.lookup(rest.strip("{}"))
            case _ if letter in "dDhHsSvVwWpPQ":
                return None
            case _:
                return _CONTROLS.get(letter, letter)


def _is_property(name: str) -> bool:
    kind, equals, value = name.partition("=")
    if equals:
        return kind.lower() in {"sc", "script", "blk", "block", "gc", "general_category"} and bool(value)
    bare = name.removeprefix("Is")
    categories = {unicodedata.category(chr(point)) for point in range(0x3000)} | {"Cn", "Co", "Cs", "Zl", "Zp"}
    return (
        name in _POSIX
        or bare in categories | {category[0] for category in categories}
        or name.startswith(("In", "java", "Is"))
    )
