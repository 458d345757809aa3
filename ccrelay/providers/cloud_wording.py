"""What the texts of clouds' errors say beyond their names, and the texts for clients.

Clouds name a class of errors ("validation"), and the text tells what is the matter: no access to a
model, an expired token, a prompt too long. Texts go on to clients as they are, since Claude Code
mends its requests by them (clouds reference, section 2); replaced are only sentences in place of
which it knows others, and the numbers of accounts, which are the operator's business.

Sources: providers reference, sections 5 to 7; gateway contract, section 6; public issues.
"""

import re

from ccrelay.providers.base import Cause

# How much of a message is searched; they have a few hundred characters.
SEARCHED_CHARS_MAX = 4096
# The cause is said first; what follows may be the request.
CAUSE_CHARS_MAX = 600
# "messages.0.content: ...", "tools.3.custom.name: ..."
_MEMBER = re.compile(
    r"\W?(?:body\.)?(?:messages|tools?|system|thinking|metadata|output_config)\b[.\[:]"
)


# In order: the first that is found counts. "Model" in a text proves nothing: IAM names the model
# as the resource of what a role may not do.
_CAUSES: tuple[tuple[Cause, str], ...] = (
    (
        "credential",
        r"\bsecurity token included in the request is (?:expired|invalid)"
        r"|\bsignature (?:has )?expired\b|\bsignature not yet current\b"
        r"|\bsignature we calculated does not match\b|\bcredential should be scoped\b"
        r"|\b(?:bearer|access|security|session|refresh|id) ?token\b.{0,80}\bexpired\b"
        r"|\btoken (?:has |is |was )?expired\b|\bapi key (?:has |is )?expired\b"
        r"|\bplease make sure your api key is valid\b"
        r"|\binvalid subscription key\b|\binvalid authentication credentials?\b"
        r"|\bmissing authentication token\b|\baudience is incorrect\b"
        r"|\baccess_token_(?:expired|type_unsupported)\b|\bcredentials?_missing\b",
    ),
    (
        "place",
        r"\bvirtual network\b|\bfirewall rules?\b|\bpublic (?:network )?access (?:is|was) disabled"
        r"|\bprivate endpoint\b|\bvpc(?:e| endpoint| service controls|servicecontrols)\w*"
        r"|\bprohibited by organization'?s policy\b|\bunsupported (?:countr|region|territor)"
        r"|\bnot (?:available|allowed|supported) (?:from|in) (?:your|unsupported) (?:countr|locat)",
    ),
    (
        "access",
        r"\b(?:don.?t|do not|does not|doesn.?t) have access to the (?:\w+ )?model\b"
        r"|\bmodel access is denied\b|\bmarked by provider as legacy\b|\ballowedmodels\b"
        r"|\buse case details have not been submitted\b|\baws-marketplace:"
        r"|\bnot authorized to perform:? bedrock[\w-]*:|\bexplicit deny\b"
        r"|^operation not allowed\.?$|\bhas not enabled (?:the|this) model\b"
        r"|\bnot allowed to use (?:the )?(?:publisher )?model\b|\bagreement to this model\b"
        r"|\bmodels?\b.{0,80}\bnot (?:available|enabled|authori[sz]ed|allowed) (?:for|on|to) "
        r"(?:this|your|the) (?:account|project|organi[sz]ation|subscription)\b",
    ),
    (
        "model",
        r"\bon-demand throughput isn.?t supported\b|\bmodel identifier is invalid\b"
        r"|\bcould not resolve the (?:foundation )?model\b|\bpublisher model\b.{0,400}\bnot found\b"
        r"|\bnot servable in (?:region|location)\b|\bapi deployment\b.{0,60}\bdoes not exist\b"
        r"|\bmodels?\b.{0,120}\bnot (?:available|supported|found|served|enabled|deployed) in\b"
        r".{0,40}\b(?:region|location|resource|project)"
        r"|\b(?:inference profile|foundation model|deployment|provisioned model)\b.{0,200}"
        r"\b(?:not found|does not exist|could not be found|is not valid)\b"
        r"|\breached (?:the )?end of its life\b",
    ),
    (
        "size",
        r"\brequest payload size exceeds\b|\brequest size\b.{0,60}\bexceeds\b"
        r"|\brequest (?:body|entity)(?: is)? too large\b|\bpayload too large\b"
        r"|\bvalue at 'body'.{0,80}\blength less than or equal to\b",
    ),
)
_PATTERNS = tuple((cause, re.compile(text, re.IGNORECASE | re.DOTALL)) for cause, text in _CAUSES)

_DAILY = re.compile(r"\b(?:per|each|every|a)[ -]?day\b|\bdaily\b|\b[TR]PD\b|perday", re.IGNORECASE)
_LONGER = re.compile(r"\b(?:per|each|a)[ -]?(?:week|month)\b|\bweekly\b|\bmonthly\b", re.IGNORECASE)

# ---- texts for clients

# The sentence by which Claude Code drops older images, then compacts: it is compared as a whole.
TOO_LARGE = "Input is too long."
_TOO_LONG = re.compile(
    r"\binput is too long for (?:the )?requested model\b|\binput (?:length )?exceeds the context\b"
    r"|\bmaximum context length\b|\bcontext (?:window|length) exceeded\b",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"prompt is too long|is the maximum allowed number of output tokens", re.IGNORECASE
)
# "Too many input tokens. Max input tokens: 200000, request input token count: 250000"
_TOO_MANY = re.compile(
    r"\bmax(?:imum)? input tokens:? (\d{1,12})\b.{0,40}\binput token count:? (\d{1,12})\b",
    re.IGNORECASE | re.DOTALL,
)
# "The maximum tokens you requested exceeds the model limit of 4096."
_OUTPUT_LIMIT = re.compile(
    r"\bmaximum tokens you requested exceeds the model limit of (\d{1,12})\b", re.IGNORECASE
)
# An AWS account, and the number of a Google project.
_ACCOUNT = re.compile(r"(?<![0-9A-Za-z])\d{12}(?![0-9A-Za-z])")
MASK = "************"


def read_text(message: str) -> Cause:
    """What a text says of an error's cause; empty: nothing.

    A text that begins with a member of the request is about the request, and may quote it.
    """
    text = message[:CAUSE_CHARS_MAX].strip()
    if _MEMBER.match(text):
        return ""
    return next((cause for cause, pattern in _PATTERNS if pattern.search(text)), "")


def is_daily(message: str) -> bool:
    """Whether a text speaks of a quota of a day."""
    return _DAILY.search(message[:SEARCHED_CHARS_MAX]) is not None


def is_long(message: str) -> bool:
    """Whether a text speaks of a quota of a week or a month."""
    return _LONGER.search(message[:SEARCHED_CHARS_MAX]) is not None


def for_client(message: str) -> str:
    """A text as Claude Code recovers by it; most stay as they are.

    A prompt that is too long is said with the words of Anthropic, the cloud's own behind them.
    """
    text = message[:SEARCHED_CHARS_MAX]
    if _KNOWN.search(text):
        return message
    if found := _TOO_MANY.search(text):
        return f"prompt is too long: {found[2]} tokens > {found[1]} maximum"
    if found := _OUTPUT_LIMIT.search(text):
        limit = int(found[1])
        return (
            f"max_tokens: {limit + 1} > {limit}, which is the maximum allowed number of output "
            f"tokens for this model. {message}"
        )
    if _TOO_LONG.search(text):
        return f"prompt is too long: {message}"
    return message


def masked(message: str, project: str = "") -> str:
    """A text without numbers of accounts. `project`: a name that is left out, too."""
    if project and project in message:
        name = re.escape(project)
        named = rf"(\bprojects?(?: id)?[/:= ]{{0,2}}[`'\"]?){name}(?![\w-])"
        message = re.sub(named, rf"\1{MASK}", message, flags=re.IGNORECASE)
    return _ACCOUNT.sub(MASK, message)
