import pytest

from ccrelay.providers.cloud_wording import for_client, is_daily, is_long, masked, read_text

TOO_LONG = "Input is too long for requested model."
TOO_MANY = "Max input tokens: 9, request input token count: 10"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("The security token included in the request is expired", "credential"),
        ("Signature expired: 20260102T030405Z is now earlier than 20260102T030905Z", "credential"),
        ("Signature not yet current: 2026", "credential"),
        ("The request signature we calculated does not match the signature you ...", "credential"),
        ("Credential should be scoped to a valid region.", "credential"),
        ("Request had invalid authentication credentials. Expected OAuth 2 ...", "credential"),
        ("The access token has expired or been revoked", "credential"),
        ("token expired", "credential"),
        ("Access denied due to Virtual Network/Firewall rules.", "place"),
        ("Access denied with an explicit deny in a VPC endpoint policy", "place"),
        ("not authorized to perform: bedrock-mantle:CreateInference on x", "access"),
        ("with an explicit deny in a service control policy", "access"),
        ("Access denied. This Model is marked by provider as Legacy and ...", "access"),
        ("not authorized to perform the required actions (aws-marketplace:Subscribe)", "access"),
        ("Project `p-1` is not allowed to use Publisher Model `claude-x`", "access"),
        ("Your account does not have an agreement to this model.", "access"),
        ("The model claude-x is not enabled for this project.", "access"),
        ("Could not resolve the foundation model from the provided model identifier.", "model"),
        ("The model claude-x is not available in this region", "model"),
        ("The inference profile us.anthropic.x does not exist", "model"),
        ("The API deployment for this resource does not exist. If you created ...", "model"),
        ("The request size (31,000,000 bytes) exceeds 30.000000MB limit.", "size"),
        ("Request Entity Too Large", "size"),
        ("", ""),
        ("max_tokens: must be greater than 0", ""),
        ("The model returned the following errors: bad", ""),
        ("the tokens of the model are counted", ""),
    ],
)
def test_what_a_text_tells(text: str, cause: str) -> None:
    assert read_text(text) == cause
    assert read_text(f" {text.upper()} ") == cause


@pytest.mark.parametrize("member", ["messages.0.content", "tools[3]", "system", "body.thinking"])
def test_an_error_about_a_member_may_quote_the_request(member: str) -> None:
    quoted = "the token expired, and request entity too large"
    assert read_text(f"{member}: Input should be 'x'. {quoted}") == ""
    assert read_text("x" * 600 + quoted) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TOO_LONG, f"prompt is too long: {TOO_LONG}"),
        ("prompt is too long: 5 tokens > 4 maximum",) * 2,
        ("The model returned the following errors: prompt is too long: 5 tokens > 4 maximum",) * 2,
        ("Input is too long.",) * 2,
        ("invalid beta flag",) * 2,
        ("",) * 2,
        (TOO_MANY, "prompt is too long: 10 tokens > 9 maximum"),
    ],
)
def test_only_what_claude_code_knows_by_other_words_is_reworded(text: str, told: str) -> None:
    assert for_client(text) == told
    assert for_client(told) == told


def test_quotas_of_a_day_and_longer() -> None:
    assert is_daily("Too many tokens per day, please wait before trying again.")
    assert is_daily("limit 'GenerateRequestsPerDayPerProject'")
    assert not is_daily("requests per minute; today is a holiday")
    assert is_long("monthly quota")
    assert not is_long("a limit of the moment")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("arn:aws:iam::123456789012:user/x", "arn:aws:iam::************:user/x"),
        ("project number 123456789012.", "project number ************."),
        ("at 20260102T030405Z, 1234567890123 bytes, id 12345678901",) * 2,
        ("sha ab123456789012cd",) * 2,
        ("projects/my-project/x my-project", "projects/************/x my-project"),
        ("Project `my-project` is not allowed", "Project `************` is not allowed"),
        ("in project my-project before", "in project ************ before"),
        ("project my-project-2, my-project",) * 2,
    ],
)
def test_numbers_of_accounts_are_masked(text: str, told: str) -> None:
    assert masked(text, "my-project") == told
