"""What the names mean that AWS, Google and Azure give to errors. Data only.

Sources: providers reference, sections 5.5, 6.1 and 7; public issues of their clients.
"""

import msgspec

from ccrelay.providers.base import Cause


class Meaning(msgspec.Struct, frozen=True, gc=False):
    """A cloud's name of an error in Anthropic's terms."""

    status: int
    type: str
    cause: Cause = ""
    spent: bool = False


INVALID = Meaning(400, "invalid_request_error")
FLAGGED = Meaning(400, "invalid_request_error", "flagged")
LOGIN = Meaning(401, "authentication_error", "credential")
PERMISSION = Meaning(403, "permission_error", "key")
NO_MODEL = Meaning(404, "not_found_error", "model")
NO_ACCESS = Meaning(403, "permission_error", "access")
PLACE = Meaning(403, "permission_error", "place")
NO_OPERATION = Meaning(404, "error")  # of a server that does not know the path
CONFLICT = Meaning(409, "conflict_error")
SIZE = Meaning(413, "request_too_large", "size")
LIMIT = Meaning(429, "rate_limit_error")
QUOTA = Meaning(429, "rate_limit_error", spent=True)
UNPAID = Meaning(402, "billing_error", spent=True)
SERVER = Meaning(500, "api_error")
TIMEOUT = Meaning(504, "timeout_error")
OVERLOADED = Meaning(529, "overloaded_error")

# By name in lower case, without separators, "Exception" and "Error".
MEANING_BY_NAME: dict[str, Meaning] = {
    # ---- AWS
    "validation": INVALID,
    "accessdenied": PERMISSION,
    "unauthorizedoperation": PERMISSION,
    "optinrequired": PERMISSION,
    "unrecognizedclient": LOGIN,
    "invalidsignature": LOGIN,
    "expiredtoken": LOGIN,
    "missingauthenticationtoken": LOGIN,
    "missingauthentication": LOGIN,
    "invalidclienttokenid": LOGIN,
    "invalidaccesskeyid": LOGIN,
    "incompletesignature": LOGIN,
    "signaturedoesnotmatch": LOGIN,
    "signatureexpired": LOGIN,
    "requestexpired": LOGIN,
    "requesttimetooskewed": LOGIN,
    "tokenrefreshrequired": LOGIN,
    "invalidtoken": LOGIN,
    "resourcenotfound": NO_MODEL,  # the resource of a request is its model
    "unknownoperation": NO_OPERATION,
    "conflict": CONFLICT,  # of AWS with 400
    "servicequotaexceeded": QUOTA,
    "throttling": LIMIT,
    "throttled": LIMIT,
    "requestlimitexceeded": LIMIT,
    # Some of AWS's front ends send these with 400 (botocore's list of what is throttled).
    "requestthrottled": LIMIT,
    "ec2throttled": LIMIT,
    "provisionedthroughputexceeded": LIMIT,
    "bandwidthlimitexceeded": LIMIT,
    "limitexceeded": LIMIT,
    "slowdown": LIMIT,
    "transactioninprogress": LIMIT,
    "priorrequestnotcomplete": LIMIT,
    "notauthorized": PERMISSION,
    "modelnotready": OVERLOADED,
    "modeltimeout": TIMEOUT,
    "requesttimeout": TIMEOUT,
    "modelerror": SERVER,  # unless `originalStatusCode` says more
    "modelstreamerror": SERVER,
    "internalserver": SERVER,
    "internalfailure": SERVER,
    "serviceunavailable": OVERLOADED,
    # ---- Google: statuses
    "invalidargument": INVALID,
    "failedprecondition": INVALID,
    "outofrange": INVALID,
    "unauthenticated": LOGIN,
    "permissiondenied": PERMISSION,  # also Azure's, with 401
    "notfound": NO_MODEL,  # or its project, or location
    "alreadyexists": CONFLICT,
    "aborted": CONFLICT,
    "resourceexhausted": LIMIT,
    "cancelled": SERVER,
    "internal": SERVER,
    "unknown": SERVER,
    "dataloss": SERVER,
    "unavailable": OVERLOADED,
    "deadlineexceeded": TIMEOUT,
    # ---- Google: reasons
    "accesstokenexpired": LOGIN,
    "accesstokentypeunsupported": LOGIN,
    "accesstokenscopeinsufficient": PERMISSION,
    "credentialsmissing": LOGIN,
    "apikeyinvalid": LOGIN,
    "iampermissiondenied": PERMISSION,
    "servicedisabled": PERMISSION,
    "consumerinvalid": PERMISSION,
    "consumersuspended": PERMISSION,
    "userprojectdenied": PERMISSION,
    "billingdisabled": UNPAID,
    "ratelimitexceeded": LIMIT,
    "securitypolicyviolated": PLACE,
    "locationpolicyviolated": PLACE,
    # ---- Azure
    "deploymentnotfound": NO_MODEL,
    "modelnotfound": NO_MODEL,
    "unauthorized": LOGIN,
    "invalidauthenticationtoken": LOGIN,
    "invalidapikey": LOGIN,
    "forbidden": PERMISSION,
    "authorizationfailed": PERMISSION,
    "contentfilter": FLAGGED,
    "responsibleaipolicyviolation": FLAGGED,
    "toomanyrequests": LIMIT,
    "ratelimitreached": LIMIT,
    "quotaexceeded": LIMIT,
    "insufficientquota": QUOTA,
    "unknownmodel": NO_MODEL,
    "unavailablemodel": NO_MODEL,
    "authenticationfailed": LOGIN,
    "invalidsubscriptionkey": LOGIN,
    "serverbusy": OVERLOADED,
    "nocapacity": OVERLOADED,
    "enginebusy": OVERLOADED,
    "requestentitytoolarge": SIZE,
    "requestbodytoolarge": SIZE,
    "badrequest": INVALID,
    "timeout": TIMEOUT,
}
# By what a text says.
MEANING_BY_CAUSE: dict[Cause, Meaning] = {
    "credential": LOGIN,
    "place": PLACE,
    "access": NO_ACCESS,
    "model": NO_MODEL,
    "size": SIZE,
}
