"""Addresses and the hosts that a cap a domain goes by, by hand: for `curation.domains` and its twin on Spark."""

ADDRESSES = {
    "http://a.kr/x": "a.kr", "https://www.a.co.kr:80/x?y@z": "a.co.kr", "http://www.kr/": "www.kr",
    "http://u:p@www.a.com/": "a.com", "http://u@v@w.com/": "w.com", "http://[::1]:80/a": "[::1]", "http://a": "a",
    "http://10.0.0.1:8765/1.png": "10.0.0.1", "http://www.www.com/": "www.com", "http://www.a.": "www.a.",
    "http://www..a/": "www..a", "http://www.a../": "a..", "http://a?b://c/": "a", "http://a.com:": "a.com",
    "http://\ud55c\uae00.kr/\uadf8\ub9bc": "\ud55c\uae00.kr", "http://:80/x": "", "x": "",
}  # fmt: skip
