"""Five hundred contacts as real address books hold them; the same ones every time."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

COUNT = 500
SEED = 20_260_101

NAMES = [
    "Ingrid Solberg", "Åsa Öberg-Lindström", "Jürgen Weiß", "Zoë van der Berg", "Seán Ó Ceallaigh",
    "Łukasz Wójcik", "Chloé d'Aubigné", "María José Fernández de la Vega", "João Gonçalves",
    "Nguyễn Thị Minh Khai", "Şebnem Yıldırım", "Kristján Þórðarson", "Ana-Maria Popescu",
    "Δήμητρα Παπαδοπούλου", "Георги Стоянов", "Олександра Коваленко", "Ноам Леви",
    "محمد عبد الله الهاشمي", "ليلى حداد", "نوال بن يوسف", "שירה כהן", "אורי בן-דוד",
    "佐藤 さくら", "髙橋 健一", "王小明", "欧阳娜娜", "김서연", "박지훈", "สมชาย ใจดี", "अनन्या शर्मा",
    "তাহমিনা রহমান", "ஆனந்த் சுப்பிரமணியன்", "Նարե Պետրոսյան", "ნინო ბერიძე", "Abebe Bikila Tadesse",
    "Nkechi Okonkwo", "Thandiwe Mkhize", "Keoni Kealoha", "Mei-Ling O’Neill", "Björk",
    "Dr. Maximilian-Alexander von und zu Hohenstein-Württemberg-Schwarzenfels, geb. von der Leyen",
    "Robert'); DROP TABLE contacts;--", "  Anna   Bergström ", "李", "X Æ A-12",
]  # fmt: skip
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
        name = NAMES[(number * 7) % len(NAMES)] if number % 53 else ""
        email = f"contact{number}@{'mail' if number % 3 else 'post'}.example"
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
