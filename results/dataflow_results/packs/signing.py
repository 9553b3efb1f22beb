"""Seals of packs: a checksum that shows damage, and a keyed signature that shows who wrote them.

A pack written without a key carries a checksum only: it shows damage, not malice. With a signing key (the setting
``DATAFLOW_RESULTS_SIGNING_KEY``, read by whoever opens the store) the head is signed too. As the head holds the
checksums of all data, the signature covers every byte that is used, and nothing is opened before it was checked.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from dataflow_results.digests import DIGEST_BYTES, Buffer, digest, signature
from dataflow_results.errors import CorruptResult, UntrustedResult

__all__ = ["SEAL_BYTES", "check_seal", "is_signed", "seal"]

SEAL_BYTES = 2 * DIGEST_BYTES
"""A signature (zeros if there is none), then a checksum."""
UNSIGNED = bytes(DIGEST_BYTES)


def seal(signed_parts: Sequence[Buffer], key: bytes | None) -> bytes:
    """Signature and checksum over parts.

    Args:
        signed_parts: what is sealed, in order.
        key: the signing key; None gives a checksum only.

    Example:
        >>> check_seal(seal([b"head"], b"secret"), [b"head"], b"secret", where="example")
        >>> check_seal(seal([b"head"], b"guess"), [b"head"], b"secret", where="example")
        Traceback (most recent call last):
        dataflow_results.errors.UntrustedResult: example: the signature is not of this signing key...
    """
    signed = UNSIGNED if key is None else signature(key, *signed_parts)
    return signed + digest(b"pack head", signed, *signed_parts)


def is_signed(sealed: Buffer) -> bool:
    """Whether a seal has a signature, by whatever key."""
    return bytes(sealed[:DIGEST_BYTES]) != UNSIGNED


def check_seal(sealed: bytes, signed_parts: Sequence[Buffer], key: bytes | None, *, where: str) -> None:
    """Refuse a head that is damaged or, where a key is given, not signed with it.

    Raises:
        CorruptResult: the checksum does not fit.
        UntrustedResult: a key is given, and the head is unsigned or signed with another.
    """
    signed, checksum = sealed[:DIGEST_BYTES], sealed[DIGEST_BYTES:]
    if checksum != digest(b"pack head", signed, *signed_parts):
        raise CorruptResult("the head does not fit its checksum", where=where, fix="compute the results again")
    if key is None:
        return
    if not is_signed(sealed):
        raise UntrustedResult("the pack is not signed, and a signing key is set", where=where, fix=_FIX)
    if not hmac.compare_digest(signed, signature(key, *signed_parts)):
        raise UntrustedResult("the signature is not of this signing key", where=where, fix=_FIX)


_FIX = "compute the results again with the signing key set, or unset it if everybody who can write here is trusted"
