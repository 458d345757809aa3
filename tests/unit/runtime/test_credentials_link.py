"""Which credentials a configuration needs, and messages without secrets in their text."""

from ccrelay.config.model import Config, Credential, Key, Provider
from ccrelay.runtime.control import Decoder, encode
from ccrelay.runtime.credentials_link import (
    CredentialsStart,
    FromCredentials,
    Issued,
    ToCredentials,
    entries_of,
)
from ccrelay.wire.cloud_credential import AwsKeys, BearerToken, IssuedCredential


def cloud(name: str, kind: str, *keys: Key, **members: object) -> Provider:
    return Provider(name=name, type=kind, keys=list(keys), **members)


def key(**members: object) -> Key:
    return Key(key="credential:{}", credential=Credential(), **members)


def test_every_key_with_a_credential_is_one():
    config = Config(
        providers=[
            cloud("a", "bedrock", key(name="team"), Key(key="test-key-1"), region="eu-west-1"),
            cloud("b", "vertex", key(), key(enabled=False)),
            cloud("c", "azure", key(), enabled=False),
            cloud("d", "claude-google", key()),
            cloud("e", "claude-aws", key()),
            cloud("f", "anthropic", Key(key="test-key-2")),
        ]
    )
    entries = entries_of(config)
    assert [(one.provider, one.cloud, one.region) for one in entries] == [
        ("a", "aws", "eu-west-1"),
        ("b", "google", ""),
        ("d", "google", ""),
        ("e", "aws", ""),
    ]
    assert entries[0].key_name == "team"


def test_messages_come_through():
    issued = [
        IssuedCredential("a", "k", AwsKeys("AKIDEXAMPLE", "test-secret-1", "t"), 3, 9.0),
        IssuedCredential("b", "k", BearerToken("test-token-1", "project"), 1),
        IssuedCredential("c", "k", error="no"),
    ]
    there: Decoder[ToCredentials] = Decoder(ToCredentials)
    start = CredentialsStart(entries_of(Config(providers=[cloud("a", "azure", key())])), issued)
    there.receive(encode(start))
    assert there.next_message() == start
    back: Decoder[FromCredentials] = Decoder(FromCredentials)
    back.receive(encode(Issued(issued)))
    assert back.next_message() == Issued(issued)
    assert "test-secret" not in repr(start)
    assert "test-token" not in repr(start)
