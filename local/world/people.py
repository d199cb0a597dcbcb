"""Names, addresses and towns for the shop's customers: invented, and in several scripts."""

from __future__ import annotations

import unicodedata
from random import Random
from typing import NamedTuple

FIRST_NAMES = (
    "James",
    "Mary",
    "Robert",
    "Patricia",
    "John",
    "Jennifer",
    "Michael",
    "Linda",
    "David",
    "Elizabeth",
    "William",
    "Barbara",
    "Richard",
    "Susan",
    "Joseph",
    "Jessica",
    "Thomas",
    "Karen",
    "Christopher",
    "Sarah",
    "José",
    "María",
    "Zoë",
    "Renée",
    "Søren",
    "Łukasz",
    "Siobhán",
    "Jürgen",
    "Anaïs",
    "Nguyệt",
    "Chloé",
    "Björn",
    "Małgorzata",
    "Þóra",
    "Çağla",
    "Мария",
    "Дмитрий",
    "美咲",
    "小明",
    "عائشة",
    "Ελένη",
    "दीपा",
)
LAST_NAMES = (
    "Smith",
    "Johnson",
    "Williams",
    "Brown",
    "Jones",
    "Garcia",
    "Miller",
    "Davis",
    "Rodriguez",
    "Martinez",
    "Hernandez",
    "Lopez",
    "Gonzalez",
    "Wilson",
    "Anderson",
    "Thomas",
    "Taylor",
    "Moore",
    "Jackson",
    "Martin",
    "O'Brien",
    "D'Angelo",
    "Nguyễn",
    "Müller-Lüdenscheidt",
    "García",
    "Peña",
    "Øvergaard",
    "Dvořák",
    "Šimić",
    "Kowalczyk",
    "Þorsteinsdóttir",
    "Lefèvre",
    "Gonçalves",
    "Иванова",
    "Παπαδόπουλος",
    "田中",
    "王",
    "العلي",
    "शर्मा",
)
CITIES = (
    "Cincinnati",
    "Dayton",
    "Columbus",
    "Louisville",
    "Indianapolis",
    "Lexington",
    "Toledo",
    "Fort Wayne",
    "St. Clairsville",
    "Coeur d'Alene",
    "Cañon City",
    "Española",
    "Peñasco",
    "La Cañada Flintridge",
    "Mayagüez",
    "Hamilton",
    "Covington",
    "Bellefontaine",
    "Terre Haute",
    "Zanesville",
)
_DOMAINS = ("example.com", "example.org", "example.net")


class Person(NamedTuple):
    """Who a customer is, beside what they buy."""

    first_name: str
    last_name: str
    email: str
    city: str


def person(rng: Random, customer_id: int) -> Person:
    """One person; the id makes the address unique."""
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    return Person(first, last, address(rng, first, last, customer_id), rng.choice(CITIES))


def address(rng: Random, first: str, last: str, customer_id: int) -> str:
    """A well-formed ASCII address at a domain reserved for examples."""
    local = ".".join(part for part in (_ascii(first), _ascii(last), str(customer_id)) if part)
    return f"{local}.{rng.randrange(100):02d}@{rng.choice(_DOMAINS)}"


def _ascii(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "".join(letter for letter in plain.lower() if letter.isalpha())
