"""The demo's entry lists: what its pictures show, the words around them, and plain words that occur rarely or never."""

from itertools import product

import pyarrow as pa

from curation.demo.concepts import COLOURS, GROUNDS, NUMBERS_EN, NUMBERS_KO, OBJECTS, TRANSPARENT
from curation.demo.words import JUNK, SALE, TOWNS

PLAIN_EN = """
ability above absence academy account acid action actor address advice afternoon age agency agreement air airport alarm album alley
ambition amount anchor angle animal answer apartment apology area argument army art article aspect athlete attempt attic audience
aunt author autumn avenue award baby bacon bakery balance balcony bamboo banana bank barn baseball basket bath battery beach bean
bear beauty bed bee beetle belt bench bicycle bill biscuit blanket blood board body bone bonus border boss bowl box branch brass
bread breakfast breath brick bridge broom brother bucket budget bush butter button cabin cable cage cake camel camera camp canal
canyon card career carpet carrot castle cave ceiling cellar cello century chair chalk chamber chapel charity cheek cheese cherry
chess chest chicken chief child chimney chocolate church cinema circus city clay climate cloth clover coach coal coast coat coin
collar college comb comet concert cookie copper corn corner cotton cousin cow crab cradle crane cream creek cricket crystal cube
curtain custom dance danger daughter dawn debate decade deer delivery dentist desert desk diamond diary dinner doctor dog doll
dolphin donkey door dragon drawer dream dress drum duck dust eagle ear earth echo edge egg elbow elephant elevator engine evening
exam face factory family farm father feather fence ferry fiddle field film finger fire floor flour flute fog forest fork fountain
fox frame friend frog fruit garage garden garlic gate giant gift giraffe glacier glove goat gold goose grain grape grass guitar
hair hall harbor harvest hat hawk hill history honey horse hospital hotel ice island jacket jar jungle kettle kitchen kitten knee
knife lake lamb lamp language lantern lawn leaf leather lemon lesson letter library lion lizard lunch machine magnet market mask
meadow meal metal milk mirror monkey morning mother motor mountain mouse museum music nail needle nest night noodle north nurse
oak oasis ocean office olive onion orchard owl oyster paint palace paper park parrot pasture peach pear pearl pebble pencil pepper
piano pigeon pillow pine planet plate plum pocket poem pond pony potato prairie pumpkin puppet queen rabbit radio rain ribbon rice
river road robin rose sailor salad salt sand school seed shadow sheep shell shirt silver skirt soap spider spoon spring stable
steam stone storm street sugar summer swan table tailor temple tent theater thread thunder tiger tomato tooth towel tower turtle
valley vase velvet village violin walnut water wheat whistle winter wolf wool yard yarn zebra
"""
PLAIN_KO = """
가구 가방 가을 가족 간식 감자 강물 거리 거울 건물 겨울 계단 고구마 고래 공원 공장 공항 과일 과학 교실 구두 국수 귤 극장 기차 기타 길 김치
까치 나라 날개 날씨 남자 낮 냄비 냉장고 노래 농부 눈물 다리 단추 달걀 담요 당근 대문 대학 도서관 도시 도자기 독수리 돌 동물 동생 두부
들꽃 등산 딸기 땅콩 라면 마늘 마당 마을 만화 망원경 매미 머리 모래 모자 목도리 무지개 문 문화 물 물감 미술관 바다 바람 바위 박물관 밤
방석 배추 백조 버스 베개 벽 병원 보석 봄 부엌 분수 불 비누 비둘기 비행기 빗자루 빵 사람 사막 사슴 사자 산 상자 새벽 생선 샌들 서점 선물
선생님 설탕 섬 소금 소나무 손 손수건 송아지 수건 수박 수영장 숟가락 숲 시장 식당 식탁 신발 신문 아기 아침 악기 안개 야구 약국 양말 양파
어머니 얼굴 얼음 여름 여우 연못 연필 염소 영화 오리 오이 옥수수 옷장 요리 우유 우체국 운동장 원숭이 유리 은행 음악 의자 이불 일기 자전거
잔디 장갑 장미 저녁 전화 접시 정원 조개 종이 주머니 지갑 지도 지붕 참새 창문 책 책상 천둥 청소 체육관 축구 치마 친구 칫솔 커튼 코끼리
콩 크림 탁자 토끼 토마토 파도 팔찌 포도 피아노 하늘 학교 한복 할머니 항구 해변 햇살 호랑이 호수 화분 회사 휴지 흙
"""
COMMON = {
    "en": "a an on in of with and picture drawing clip art icon free stock photo image background more",
    "ko": "그림 아이콘 배경 있는 그린 하나 개 사진 이미지",
}


def _english() -> list[tuple[str, str]]:
    things = [name for thing in OBJECTS for name in (thing.en, thing.plural)]
    colours = [colour.en for colour in COLOURS]
    grounds = [g.en.format(en=c.en) for g in (*GROUNDS, TRANSPARENT) for c in COLOURS]
    bigrams = [f"{colour} {thing}" for colour, thing in product(colours, things)]
    counted = [f"{number} {thing.plural}" for number, thing in product(NUMBERS_EN[1:], OBJECTS)]
    ground_words = [word for ground in grounds for word in ground.split()]
    return [
        *[(str(number), "number") for number in range(100)],
        *[(name, "wordnet") for name in (*things, *colours, *NUMBERS_EN[1:])],
        *[(word, "unigram") for word in (*COMMON["en"].split(), *ground_words, *PLAIN_EN.split())],
        *[
            (word, "unigram")
            for phrase in (*SALE["en"], *JUNK["en"])
            for word in phrase.split()
            if word.isalpha()
        ],
        *[(phrase, "bigram") for phrase in (*bigrams, *counted, *grounds, "clip art")],
        *[(phrase, "title") for phrase in TOWNS["en"]],
    ]


def _korean() -> list[tuple[str, str]]:
    things = [thing.ko for thing in OBJECTS]
    colours = [form for colour in COLOURS for form in (colour.ko, colour.ko_noun)]
    grounds = [g.ko.format(ko=c.ko) for g in (*GROUNDS, TRANSPARENT) for c in COLOURS]
    bigrams = [f"{colour} {thing}" for colour, thing in product(colours, things)]
    counters = sorted({f"{number} {thing.counter}" for number, thing in product(NUMBERS_KO, OBJECTS)})
    ground_words = [word for ground in grounds for word in ground.split()]
    return [
        *[(name, "wordnet") for name in (*things, *colours)],
        *[
            (word, "unigram")
            for word in (*NUMBERS_KO, *COMMON["ko"].split(), *ground_words, *PLAIN_KO.split())
        ],
        *[
            (word, "unigram")
            for phrase in (*SALE["ko"], *JUNK["ko"])
            for word in phrase.split()
            if word.isalpha()
        ],
        *[(phrase, "bigram") for phrase in (*bigrams, *counters, *grounds)],
        *[(phrase, "title") for phrase in TOWNS["ko"]],
    ]


def table() -> pa.Table:
    """Return the entries of both languages, each once a language: columns lang, entry, source."""
    rows: dict[tuple[str, str], str] = {}
    for lang, listed in (("en", _english()), ("ko", _korean())):
        for entry, source in listed:
            rows.setdefault((lang, entry), source)
    return pa.table(
        {
            "lang": [lang for lang, _ in rows],
            "entry": [entry for _, entry in rows],
            "source": list(rows.values()),
        }
    )
