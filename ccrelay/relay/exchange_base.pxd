cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.asker cimport texts_of
from ccrelay._fast.conn cimport Reactor
from ccrelay._fast.downstream cimport Downstream
from ccrelay._fast.upstream cimport ExchangeHandler, Upstream
from ccrelay.relay cimport accounting
from ccrelay.relay.access_log cimport AccessLogEntry
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.context cimport WorkerContext
from ccrelay.relay.exchange_record cimport write_record
from ccrelay.relay.outcome cimport Outcome, result_of
from ccrelay.relay.runtime_config cimport RuntimeConfig
from ccrelay.routing.retry_state cimport RetryState
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest

cdef int _MESSAGES, _ROUTING, _PREPARING, _QUEUED, _DONE, _STATES
cdef bytes _ALLOWED, _WAITS


cdef class ExchangeBase(ExchangeHandler):
    cdef readonly WorkerContext context
    cdef public RuntimeConfig config
    cdef readonly ClientRequest client
    cdef readonly int64_t serial
    cdef public int state
    cdef public int resume
    cdef public Route route
    cdef public RoutingRequest request
    cdef public Attempt attempt
    cdef public RetryState retry_state
    cdef public object best_error
    cdef public object rejection
    cdef public object remedies
    cdef public object waits
    cdef public bint early_head_sent
    cdef readonly Outcome outcome
    cdef double own_until
    cdef double own_from

    @cython.locals(now=double)
    cdef int _enter(self, int state) except -1
    @cython.locals(reactor=Reactor, began=double)
    cdef int _end_section(self) except -1
    @cython.locals(
        context=WorkerContext, outcome=Outcome, attempt=Attempt, now=double, exchange_id=str,
        client=ClientRequest, route=Route, request=RoutingRequest, asker=tuple,
        entry=AccessLogEntry,
    )
    cpdef object finish(self, int ending, int64_t own_bytes=*)
    @cython.locals(attempt=Attempt, upstream=Upstream)
    cdef object _end_last_section(self)
    @cython.locals(outcome=Outcome, route=Route, request=RoutingRequest)
    cdef object _settle(self, Attempt attempt, double now, str exchange_id)
    @cython.locals(outcome=Outcome, changed_target=bint)
    cdef object _judge(self, Attempt attempt, double now)
    cdef object _poke_queue(self)
    cdef object _answer(self, bytes data, int ending, bint keep_alive)
    cdef object _reply(self, object reply)
    cpdef object fail(self, object error)
    cdef bytes _error_response(self, object error, bint keep_alive)
    cdef bytes _own_events(self, bytes events)
    cdef bint _may_send_event(self, object error) except? -1
    @cython.locals(upstream=Upstream)
    cdef object _drop_upstream(self)
    cdef object _pool(self)
    cpdef object shut(self)
    cpdef object on_client_left(self)
    cpdef object on_bad_body(self, int fault)
    cpdef object on_slow_body(self)
    @cython.locals(down=Downstream)
    cpdef object on_wait(self)
    cdef double _beat(self) except? -1
    cdef list _debug_fields(self)
