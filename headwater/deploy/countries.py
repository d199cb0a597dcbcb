"""What libraries know of the world's countries, as modules that jobs and Lambdas import without them: codes, names, phone numbers."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import phonenumbers
from babel import Locale
from babel.core import UnknownLocaleError, get_global
from babel.languages import get_official_languages
from phonenumbers import PhoneMetadata

from headwater.config.rule import country_key

# Regions of CLDR's that ISO 3166 does not assign.
_NO_COUNTRIES = frozenset("AC CP CQ DG EA EU EZ IC QO TA UN XA XB XK ZZ".split())  # noqa: SIM905 - as a list it would take 15 lines
# How people write what CLDR names otherwise.
_OTHER_NAMES = {
    "Czech Republic": "CZ",
    "Great Britain": "GB",
    "Holland": "NL",
    "Hong Kong": "HK",
    "Ivory Coast": "CI",
    "Macau": "MO",
    "Russian Federation": "RU",
    "South Korea": "KR",
    "Turkey": "TR",
    "United States of America": "US",
}


def countries_module() -> str:
    """The module headwater/countries.py: the ISO 3166 code of each country by its codes and names, as `spelled` there."""
    english: dict[str, str] = dict(Locale("en").territories)
    codes = sorted(code for code in english if len(code) == 2 and code.isalpha() and code not in _NO_COUNTRIES)
    names: dict[str, set[str]] = {}
    for code in codes:
        for name in {english[code], *_own_names(code)}:
            for spelling in _spellings(name):
                names.setdefault(spelling, set()).add(code)
    # What two countries are called is the name of neither.
    known = {name: told.pop() for name, told in names.items() if len(told) == 1}
    known |= {spelling: code for name, code in _OTHER_NAMES.items() for spelling in _spellings(name)}
    # The codes of two letters that were given up are those of states of the USA, and of much else.
    given_up: dict[str, list[str]] = dict(get_global("territory_aliases"))
    aliases = {alias: told for alias, told in given_up.items() if len(alias) == 3}
    known |= {alias: told[0] for alias, told in aliases.items() if len(told) == 1 and told[0] in codes}
    known |= {code: code for code in codes} | {"UK": "GB"}
    return _module(
        "The ISO 3166 code of each country, by its codes and its names: `make docs` writes this from CLDR.",
        COUNTRIES=known,
    )


def _own_names(code: str) -> Iterable[str]:
    """What a country is called in its own languages."""
    for language in get_official_languages(code):
        try:
            name = Locale.parse(f"{language}_{code}").territories.get(code)
        except (UnknownLocaleError, ValueError):
            continue
        if name:
            yield name


def _spellings(name: str) -> set[str]:
    """A name as it is looked up, with its accents and without."""
    plain = "".join(sign for sign in unicodedata.normalize("NFD", name) if not unicodedata.combining(sign))
    return {spelled for text in (name, plain) if (spelled := country_key(text))}


def phone_plans_module() -> str:
    """The module headwater/phone_plans.py: what a country's numbers look like, and how people there write them."""
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    plans: dict[str, Any] = {region: PhoneMetadata.metadata_for_region(region) for region in regions}
    by_code: dict[str, Any] = {
        str(code): PhoneMetadata.metadata_for_nongeo_region(code) if first == "001" else plans[first]
        for code, (first, *_) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
    }
    return _module(
        "How phone numbers look: `make docs` writes this from phonenumbers, which has it from libphonenumber.",
        CALLING_CODES={region: str(plans[region].country_code) for region in regions},
        INTERNATIONAL_PREFIXES={region: plans[region].international_prefix or "" for region in regions},
        NATIONAL_PREFIXES={region: plans[region].national_prefix_for_parsing or "" for region in regions},
        TRANSFORMS={region: rule for region in regions if (rule := plans[region].national_prefix_transform_rule)},
        NUMBERS={code: _pattern(plan) for code, plan in by_code.items()},
        ZERO_DROPPED={code: "0" for code, plan in by_code.items() if plan.national_prefix == "0"},
    )


def _pattern(plan: Any) -> str:
    general = plan.general_desc
    lengths = "|".join(f"\\d{{{length}}}\\z" for length in general.possible_length if length > 0)
    return f"(?={lengths})(?:{general.national_number_pattern})"


def _module(sentence: str, **tables: Mapping[str, str]) -> str:
    """A module of constants, as ruff formats it."""
    parts = [f'"""{sentence}"""\n\nfrom __future__ import annotations\n']
    for name, table in tables.items():
        lines = [f"    {_quoted(key)}: {_quoted(value)},\n" for key, value in table.items()]
        parts.append(f"{name}: dict[str, str] = {{\n{''.join(sorted(lines))}}}\n")
    return "\n".join(parts)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
