"""Five hundred contacts as real address books hold them; the same ones every time."""

import random
import re
import unicodedata
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

COUNT = 500
SEED = 20_260_101

# Given and family names by where their holder lives; every person is one of each.
NAMES = [
    ("Ingrid Åsa Lars Solveig Björn Kristján Aino Freja", "Solberg Öberg Lindström Þórðarson Virtanen Haugen Nygård"),
    ("Jürgen Anna Maximilian Zoë Bram Elke Łukasz Ana-Maria", "Weiß Bergström Hofmann Wójcik Popescu Dvořák Kovács"),
    ("Seán Siobhán Emma Oliver Thandiwe Keoni Grace", "O’Neill Harris Walker Okafor Mkhize Kealoha Patel"),
    ("Chloé María João Lucía Étienne Giulia Inês", "Lefèvre Fernández Gonçalves Rossi d’Aubigné Ruiz Carvalho"),
    ("Nkechi Abebe Şebnem Nguyễn Mei-Ling Amara", "Okonkwo Tadesse Yıldırım Minh-Khai Tan Diallo"),
    ("Δήμητρα Νίκος Ελένη Γιώργος", "Παπαδοπούλου Νικολάου Αλεξίου"),
    ("Олександра Георги Ірина Милош", "Коваленко Стоянов Шевчук Петровић"),
    ("محمد ليلى نوال يوسف", "الهاشمي حداد بن_يوسف العلي"),
    ("שירה אורי נועם", "כהן בן-דוד מזרחי"),
    ("अनन्या राहुल তাহমিনা ஆனந்த்", "शर्मा वर्मा রহমান சுப்பிரமணியன்"),
    ("นภัส สมชาย", "ใจดี ทองสุข"),
    ("佐藤 髙橋 鈴木 王 欧阳", "さくら 健一 小明 娜娜 花子"),
    ("김 박 이", "서연 지훈 하은"),
]  # fmt: skip
# Every twenty-third is one that has broken an address book somewhere.
UNUSUAL = [
    "Dr. Maximilian-Alexander von und zu Hohenstein-Württemberg-Schwarzenfels, geb. von der Leyen",
    "Robert'); DROP TABLE contacts;--", "  Anna   Bergström ", "李", "X Æ A-12", "Björk",
]  # fmt: skip
WEIGHTS = [8, 8, 8, 7, 5, 3, 3, 3, 2, 2, 1, 2, 1]
CITIES = [
    "Oslo", "Göteborg", "München", "Kraków", "São Paulo", "Αθήνα", "Київ", "القاهرة", "תל אביב",
    "東京", "서울", "กรุงเทพฯ", "मुंबई", "Lagos", "Reykjavík", "Saint-Rémy-de-Provence",
]  # fmt: skip
COMPANIES = [
    "Fjord & Sons AS",
    "Käserei Huber GmbH",
    "Blue Harbor Logistics",
    "株式会社みどり",
    "Société Générale des Petites Choses",
    "Nile Crafts",
    "Tundra Data",
    "",
]
PLANS = ["free", "free", "free", "pro", "pro", "enterprise"]
ODD_PHONES = ["n/a", "0", "12345", "+46 70 ext. 12", "(020) 7946 0958", "call reception"]


def contacts() -> Iterator[dict[str, Any]]:
    """Fields of Contact: some without e-mail, without phone, without either, without a name."""
    dice = random.Random(SEED)  # noqa: S311 (demo data)
    first_day = date(2026, 1, 5)
    for number in range(1, COUNT + 1):
        name = _name(number, dice)
        email = f"{_mailbox(name, number)}@{'mail' if number % 3 else 'post'}.example"
        phone = f"+{dice.choice([46, 47, 49, 44, 81, 91])}{dice.randrange(10**8, 10**9)}"
        if number % 11 == 0:
            email = ""
        if number % 13 == 0:
            phone = dice.choice(ODD_PHONES)
        elif number % 4 == 0:
            phone = ""
        attributes: dict[str, Any] = {
            "plan": dice.choice(PLANS),
            "city": dice.choice(CITIES),
            "score": dice.randrange(0, 101),
            "renews_on": (first_day + timedelta(days=dice.randrange(360))).isoformat(),
        }
        company = dice.choice(COMPANIES)
        if company:
            attributes["company"] = company
        if number % 17 == 0:
            attributes["note"] = "Prefers to be written to in the evening. " * 6
        yield {
            "external_id": f"NW-{number:04d}", "name": " ".join(name.split()), "email": email,
            "phone": phone, "attributes": attributes,
        }  # fmt: skip


def _name(number: int, dice: random.Random) -> str:
    given, family = dice.choices(NAMES, WEIGHTS)[0]
    name = f"{dice.choice(given.split())} {dice.choice(family.split())}".replace("_", " ")
    if number % 53 == 0:
        return ""
    return UNUSUAL[number // 23 % len(UNUSUAL)] if number % 23 == 0 else name


def _mailbox(name: str, number: int) -> str:
    """`ingrid.solberg7`; what has no Latin letters writes from `customer7`."""
    latin = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z]+", latin)
    return (".".join(words[:2]) if len(words) > 1 else "customer") + str(number)
