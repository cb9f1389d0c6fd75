"""The words around the demo's pictures: shops' phrases, junk, towns, other languages."""

# by Zipf's law in this order: on the web a few phrases stand beside pictures of everything
SALE = {
    "en": (
        "best deal", "free download", "best price", "free shipping", "hot sale", "best deal today", "buy now",
        "royalty free stock photo", "free stock image", "special offer", "download now", "best seller",
    ),
    "ko": (
        "무료 다운로드", "특가 세일", "최저가 할인", "무료 배송", "상품 이미지", "오늘 특가", "할인 쿠폰", "인기 상품",
        "무료 이미지", "신상품 할인",
    ),
}  # fmt: skip
JUNK = {
    "en": (
        "click here",
        "prev",
        "next",
        "logo",
        "image",
        "1px",
        "untitled",
        "banner",
        "home",
        "...",
        "spacer.gif",
    ),
    "ko": ("이전", "다음", "로고", "클릭", "이미지", "1px", "제목 없음", "배너", "홈", "...", "여기를 클릭"),
}
FILE_NAMES = (
    "IMG_{:04d}.jpg",
    "DSC0{:04d}.JPG",
    "banner_{:04d}.png",
    "{:04d}x{:04d}.jpg",
    "Screenshot {:04d}.png",
)
TOWNS = {
    "en": (
        "Seoul", "London", "Paris", "Busan", "Berlin", "Tokyo", "Rome", "Oslo", "Jeju", "Madrid", "Lisbon", "Vienna",
        "Prague", "Dublin", "Athens", "Helsinki", "Daegu", "Boston", "Chicago", "Denver", "Austin", "Lima", "Quito",
        "Cairo", "Nairobi", "Lagos", "Mumbai", "Delhi", "Hanoi", "Manila", "Perth", "Sydney", "Bergen", "Porto",
    ),
    "ko": (
        "서울", "부산", "제주", "대구", "인천", "광주", "대전", "울산", "수원", "전주", "강릉", "경주", "여수", "춘천",
        "목포", "포항", "안동", "속초", "통영", "진주", "군산", "원주", "충주", "공주", "남원", "김해", "양양", "태백",
    ),
}  # fmt: skip

# in the order of curation.demo.concepts, between bars
FRENCH_OBJECTS = "étoile|cœur|chat|fleur|voiture|arbre|maison|poisson|lune|soleil|tasse|nuage|parapluie|bateau|couronne|clé"

GERMAN_OBJECTS = (
    "Stern|Herz|Katze|Blume|Auto|Baum|Haus|Fisch|Mond|Sonne|Tasse|Wolke|Regenschirm|Boot|Krone|Schlüssel"
)

JAPANESE_OBJECTS = "星|ハート|猫|花|車|木|家|魚|月|太陽|カップ|雲|傘|船|王冠|鍵"

FRENCH_COLOURS = "rouge|bleue|jaune|verte|noire|blanche|rose|orange|violette|brune"
GERMAN_COLOURS = "rot|blau|gelb|grün|schwarz|weiß|rosa|orange|lila|braun"
JAPANESE_COLOURS = "赤い|青い|黄色い|緑の|黒い|白い|ピンクの|オレンジの|紫の|茶色の"
OTHER_LANGUAGES = {
    "fr": ("une image pour votre site : {thing}, couleur {colour}", FRENCH_OBJECTS, FRENCH_COLOURS),
    "de": ("ein Bild für Ihre Seite: {thing}, Farbe {colour}", GERMAN_OBJECTS, GERMAN_COLOURS),
    "ja": ("{colour}{thing}の絵です", JAPANESE_OBJECTS, JAPANESE_COLOURS),
}
