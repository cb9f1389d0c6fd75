"""What can go wrong: errors a user can act on, and the one enum of reasons for which a row leaves the stream."""

from enum import StrEnum


class CurationError(Exception):
    """An error whose text is for the user: the command line prints it without a traceback."""


class ConfigError(CurationError, ValueError):
    """A setting is missing, out of range or contradicts another."""


class InputError(CurationError, ValueError):
    """An input cannot be opened at all, or is not what it is said to be."""


class StageError(CurationError, RuntimeError):
    """A stage cannot start or commit: its inputs are missing, differ from its record, or its sums do not close."""


class MissingExtraError(CurationError, ImportError):
    """A library that only an extra installs is needed; the text names the extra."""


def require(held: bool, name: str, value: object, allowed: str) -> None:
    """Raise ConfigError, naming the key and what is allowed, unless the condition holds."""
    if not held:
        raise ConfigError(f"{name} is {value!r}: {allowed}")


class Reason(StrEnum):
    """Why a row left the stream. A stage closes in = out + the sum of dropped[reason] + merged, a unit at a time."""

    # extract, unit "records"
    NOT_A_PAGE = "not_a_page"  # warcinfo, request, or a response that is not HTML
    EMPTY_RECORD = "empty_record"
    BAD_JSON = "bad_json"
    BAD_RECORD = "bad_record"  # the WARC headers or the gzip member cannot be read
    TRUNCATED = "truncated"  # the file ends inside a gzip member
    UNDECODABLE_BYTES = "undecodable_bytes"
    BAD_PAGE_URL = "bad_page_url"
    NO_LINKS = "no_links"
    # extract, unit "candidates": an image link with one of its texts, or a row of a pool
    NULL_LINK = "null_link"
    NO_TEXT = "no_text"
    BAD_TEXT = "bad_text"  # a lone surrogate or NUL
    NO_URL = "no_url"
    BAD_URL = "bad_url"
    NOT_HTTP = "not_http"
    # metadata, units "pages", "lines", "words", "synsets": what the publishers' files hold
    OTHER_NAMESPACE = "other_namespace"  # a talk page, a category, Special:, ...
    REDIRECT = "redirect"
    NOT_WIKITEXT = "not_wikitext"  # a page of another model: a stylesheet, a table of data
    BAD_PAGE = "bad_page"  # its XML is damaged, or it lacks its title or id
    DAMAGED = "damaged"  # a stretch of the file cannot be decompressed; what it held is not known
    MALFORMED_LINE = "malformed_line"
    OTHER_PROJECT = "other_project"  # page views of a project that is not asked for
    BAD_TITLE = "bad_title"  # empty, "-", or with a character that no title has
    MAIN_PAGE = "main_page"
    COLON_TITLE = "colon_title"
    NO_VIEWS = "no_views"
    NOT_A_NAME = "not_a_name"  # a word that is no noun, or a text that holds more than words of letters
    # metadata, units "unigrams", "bigrams", "titles", ...: what a source offers to a list
    BELOW_CUT = "below_cut"  # fewer occurrences or views, or a lower score, than the list asks for
    OVER_QUOTA = "over_quota"
    PUNCTUATION = "punctuation"  # the entry is punctuation alone
    # match, unit "pairs"
    EMPTY_TEXT = "empty_text"  # nothing is left after cleaning
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    NO_LANGUAGE = "no_language"  # no letters, or no detector is sure
    OTHER_LANGUAGE = "other_language"
    NO_MATCH = "no_match"
    MATCHED_EARLIER = "matched_earlier"  # a run of `run.earlier` has the pair
    # count and balance
    HELD_OUT = "held_out"
    BALANCED_OUT = "balanced_out"
    # balance, why a survivor is not selected; it stays in the manifest
    NOT_CHOSEN = "not_chosen"  # balance.one_caption drew another caption of the picture
    OVER_IMAGE_CAP = "over_image_cap"  # balance.max_per_image
    OVER_DOMAIN_CAP = "over_domain_cap"  # balance.max_per_domain
    # download, manifest, selections, train, evaluate
    REMOVED = "removed"  # its address, its domain or its picture is in the removal list
    # download, unit "urls"
    OPTED_OUT = "opted_out"
    HTTP_STATUS = "http_status"
    TIMEOUT = "timeout"
    NO_CONNECTION = "no_connection"
    NO_SUCH_HOST = "no_such_host"
    PRIVATE_ADDRESS = "private_address"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    BAD_REDIRECT = "bad_redirect"
    BODY_TOO_LARGE = "body_too_large"
    BODY_EMPTY = "body_empty"
    BODY_TRUNCATED = "body_truncated"
    NOT_AN_IMAGE = "not_an_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_FEW_PIXELS = "too_few_pixels"
    # embed, unit "images"
    UNDECODABLE_IMAGE = "undecodable_image"
    NO_DESCRIPTOR = "no_descriptor"  # the network of embed.kind gives NaN or infinity for the picture
    # dedup, units "images" and "captions"
    HOLDOUT = "holdout"  # near a picture of an evaluation set
    EARLIER_PICTURE = "earlier_picture"  # joined a picture of an earlier crawl, in whose shards that lies
    # dedup and manifest, unit "captions"
    NO_IMAGE = "no_image"  # the pair's picture was not fetched or not decoded
