"""Uses the card in a reader for a moment, and resets it or leaves it without power, as other programs do.

usage: let_go.py READER reset|unpower
"""

import sys

from smartcard import scard


def check(what, code, *answer):
    if code != scard.SCARD_S_SUCCESS:
        sys.exit(f"{what}: {scard.SCardGetErrorMessage(code)}")
    return answer


DISPOSITIONS = {"reset": scard.SCARD_RESET_CARD, "unpower": scard.SCARD_UNPOWER_CARD}

reader, disposition = sys.argv[1], DISPOSITIONS[sys.argv[2]]
(context,) = check("establish", *scard.SCardEstablishContext(scard.SCARD_SCOPE_USER))
protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
card, _ = check("connect", *scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, protocols))
check("disconnect", scard.SCardDisconnect(card, disposition))
check("release", scard.SCardReleaseContext(context))
