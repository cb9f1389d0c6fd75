"""The words of the data card, in English and Korean: steps, sources, terms and limits, by key."""

NAMES = {
    "en": {"en": "English", "ko": "Korean", "ja": "Japanese", "zh": "Chinese", "de": "German", "fr": "French", "es": "Spanish"},
    "ko": {"en": "영어", "ko": "한국어", "ja": "일본어", "zh": "중국어", "de": "독일어", "fr": "프랑스어", "es": "스페인어"},
}  # fmt: skip
STEPS = {
    "en": {
        "links": "links to pictures, with a text",
        "pairs": "distinct pairs of address and text",
        "named": "pairs that name an entry",
        "wanted": "pairs wanted by the balance",
        "addresses": "addresses asked for",
        "pictures": "addresses that gave a picture",
        "distinct": "sealed pictures, near-duplicates merged",
        "captions": "sealed captions",
        "selected": "of them selected for training",
        "heldout": "of them held out for evaluation",
    },
    "ko": {
        "links": "텍스트가 달린 그림 링크",
        "pairs": "중복을 뺀 주소-텍스트 쌍",
        "named": "표제어가 나오는 쌍",
        "wanted": "균형 맞추기에서 고른 쌍",
        "addresses": "요청한 주소",
        "pictures": "그림을 받은 주소",
        "distinct": "배포본에 담은 그림 (거의 같은 그림은 하나로)",
        "captions": "배포본에 담은 캡션",
        "selected": "그중 학습용으로 선택된 캡션",
        "heldout": "그중 평가용으로 떼어 둔 캡션",
    },
}
SOURCES = {
    "en": {
        "pictures": "pictures and their texts",
        "pool": "the pool of addresses and texts",
        "entries: given": "entry lists: given by the publisher",
        "entries: default": "entry lists: those of bicurate",
        "entries: wordnet": "entry lists: WordNet",
        "entries: wikipedia": "entry lists: Wikipedia",
        "entries: pageviews": "entry lists: page views of Wikipedia",
        "entries: words": "entry lists: word lists",
        "lid.176.ftz (fastText)": "language model lid.176.ftz (fastText), used, not included",
        "korean.json.gz": "weights of the Korean matcher, used, not included",
    },
    "ko": {
        "pictures": "그림과 그 텍스트",
        "pool": "주소와 텍스트의 원천",
        "entries: given": "표제어 목록: 배포자가 준비한 것",
        "entries: default": "표제어 목록: bicurate 기본 목록",
        "entries: wordnet": "표제어 목록: WordNet",
        "entries: wikipedia": "표제어 목록: 위키백과",
        "entries: pageviews": "표제어 목록: 위키백과 조회수",
        "entries: words": "표제어 목록: 낱말 목록",
        "lid.176.ftz (fastText)": "언어 판별 모델 lid.176.ftz (fastText), 사용만 하고 포함하지 않음",
        "korean.json.gz": "한국어 표제어 찾기의 가중치, 사용만 하고 포함하지 않음",
    },
}
WORDINGS = {
    "en": {
        "rights": "rights stay with each author; nothing here is a licence to them",
        "publisher": "as its publisher states; not recorded in the run (card.sources can say it)",
    },
    "ko": {
        "rights": "권리는 각 저작자에게 있으며, 이 자료가 이용을 허락하는 것은 아님",
        "publisher": "원천의 배포자가 정한 바에 따름. 실행 기록에는 없음 (card.sources에 적을 수 있음)",
    },
}
LIMITS = {
    "en": {
        "texts": "The captions are alt-texts as they stood on the web. Nobody checked that they describe their pictures, and many do not.",
        "content": "Nothing was filtered for violence, nudity, hatred, illegal content or personal data, in pictures or texts.",
        "lists": "What no entry of the lists names is not here. The lists lean towards what encyclopedias and dictionaries cover, and towards "
        "nouns; balance evens out entries, not people, places or views.",
        "languages": "Languages are told by script and by statistical models, which err on short and mixed texts.",
        "duplicates": "Near-duplicates are found down to a cosine of {cosine} of a descriptor: cropped, mirrored or heavily edited copies remain, and now "
        "and then two different pictures are taken for one. The held-out pictures are as separate as that search is good.",
        "opt_outs": "An opt-out is seen only in the header X-Robots-Tag at the time of the download. robots.txt, terms of use and metadata inside files "
        "were not read.",
        "links": "The addresses were alive at the time of the download; many will not be later. Where pictures could not be fetched, the set leans "
        "towards hosts that answer.",
        "raw": "A hash in the removal list names bytes: the same picture encoded anew has another. Whoever ran the curation also has to delete the "
        "raw download, which the removal list does not reach.",
        "korean_by_spaces": "Korean was matched by MetaCLIP 2's rule, with a space on both sides: a noun with a particle attached counts as another word, so "
        "Korean counts are too low and many Korean texts match nothing.",
        "margin": "The margin before the download was too small for {pairs} pairs: they would have deserved a larger chance.",
    },
    "ko": {
        "texts": "캡션은 웹에 있던 대체 텍스트 그대로입니다. 그림을 제대로 설명하는지 사람이 확인하지 않았으며, 그렇지 않은 것도 많습니다.",
        "content": "그림과 텍스트 어느 쪽에서도 폭력, 노출, 혐오, 불법 내용, 개인정보를 걸러 내지 않았습니다.",
        "lists": "표제어 목록에 없는 것은 이 자료에도 없습니다. 목록은 백과사전과 사전이 다루는 것, 특히 명사에 치우쳐 있습니다. 균형 맞추기는 표제어의 빈도를 "
        "고르게 할 뿐, 사람이나 지역, 관점의 치우침을 바로잡지는 않습니다.",
        "languages": "언어는 문자와 통계 모델로 판별했으므로, 짧거나 여러 언어가 섞인 텍스트에서는 틀릴 수 있습니다.",
        "duplicates": "거의 같은 그림은 특징 벡터의 코사인이 {cosine} 이상인 것까지만 찾습니다. 잘라 내거나 뒤집거나 크게 고친 사본은 남아 있을 수 있고, 서로 다른 그림이 "
        "하나로 합쳐지기도 합니다. 평가용 그림이 학습용과 얼마나 확실히 나뉘는지도 이 탐색의 정확도에 달려 있습니다.",
        "opt_outs": "수집 거부는 내려받을 때의 X-Robots-Tag 헤더만 보고 판단했습니다. robots.txt, 이용 약관, 파일 속 메타데이터는 읽지 않았습니다.",
        "links": "주소는 내려받을 때를 기준으로 한 것이며, 시간이 지나면 열리지 않는 것이 많아집니다. 그림을 받지 못한 주소는 빠졌으므로, 응답이 안정적인 사이트의 비중이 큽니다.",
        "raw": "삭제 목록의 해시는 파일의 바이트를 가리킵니다. 같은 그림이라도 다시 인코딩하면 해시가 달라집니다. 또한 삭제 목록은 내려받은 원본 파일까지 지우지는 "
        "않으므로, 큐레이션을 실행한 쪽에서 따로 지워야 합니다.",
        "korean_by_spaces": "한국어 표제어는 MetaCLIP 2의 규칙대로 양쪽에 공백이 있을 때만 찾았습니다. 조사가 붙은 명사는 다른 낱말로 취급되므로 한국어 빈도가 실제보다 낮고, "
        "표제어가 하나도 걸리지 않은 한국어 텍스트도 많습니다.",
        "margin": "내려받기 전에 둔 여유분이 모자라, 쌍 {pairs}개는 받아야 할 확률보다 낮은 확률로 뽑혔습니다.",
    },
}  # fmt: skip
