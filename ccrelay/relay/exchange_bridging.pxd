cimport cython

from ccrelay._fast.upstream cimport Upstream
from ccrelay.fleet.provider_state cimport ProviderState, Target
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.exchange_preparing cimport PreparingExchange
from ccrelay.routing.candidate cimport Candidate

cdef int _ROUTING, _PREPARING, _DONE, _COUNT_TOKENS


cdef class BridgingExchange(PreparingExchange):
    cdef object _not_sent(self, object verdict, object error)
    cdef object _keep_remedies(self, str provider)
    @cython.locals(attempt=Attempt)
    cdef object _bridge(self)
    @cython.locals(client=ClientRequest, attempt=Attempt)
    cdef object _make_request(self)
    @cython.locals(attempt=Attempt, candidate=Candidate, target=Target)
    cdef object _bridging(self)
    cdef object _dropped(self, str provider, str model)
    cpdef object _begin_bridging(self)
    @cython.locals(attempt=Attempt)
    cpdef object _bridged(self, object prepared, object error)
    cdef object _send_prepared(self, Attempt attempt, object prepared)
    cdef double _now_there(self, ProviderState provider) except? -1
    cdef bint _lacks_credential(self, Target target) except -1
    cdef object _await_credential(self, Target target)
    @cython.locals(attempt=Attempt)
    cpdef object _credential_came(self, bint in_time)
    cdef object _give_up_credential(self, Target target)
    @cython.locals(target=Target, now_there=double)
    cdef bytes _lines_over(self, Upstream upstream, Attempt attempt)
    @cython.locals(attempt=Attempt, head=object)
    cdef object _begin_response(self, Upstream upstream)
    @cython.locals(head=object)
    cdef object _read_clock(self, ProviderState provider, Upstream upstream)
    @cython.locals(attempt=Attempt, head=object)
    cdef bint _undo_frames(self, Upstream upstream) except -1
