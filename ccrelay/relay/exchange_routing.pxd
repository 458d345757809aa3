cimport cython

from ccrelay._fast.downstream cimport Downstream
from ccrelay.relay cimport request_profile
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.exchange_base cimport ExchangeBase
from ccrelay.relay.runtime_config cimport RuntimeConfig
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest
from ccrelay.routing.selection cimport Selection, Unavailable

cdef int _ROUTING, _AWAITING_BODY, _PREPARING, _QUEUED, _DONE


cdef class RoutedExchange(ExchangeBase):
    cdef object _start_attempt(self, Selection selection, object strip_thinking)
    cdef object _with_whole_body(self)
    cdef object _send(self)
    cpdef object start(self, bint is_packed=*)
    @cython.locals(down=Downstream, raw=bytes)
    cdef object _find_route(self)
    cdef object _unpack(self)
    cpdef object _begin_unpacking(self)
    cpdef object _unpacked(self, object unpacking, object error)
    cdef object _take_unpacked(self, object unpacking)
    cdef double _queue_timeout_s(self) except? -1
    cdef object _translate(self)
    cpdef object _begin_translating(self)
    cpdef object _translated(self, object result, object error)
    cdef object _take_translated(self, object found)
    @cython.locals(config=RuntimeConfig, client=ClientRequest, route=Route)
    cdef object _route_model(self, bytes raw)
    cdef object _match_rules(self)
    @cython.locals(route=Route, request=RoutingRequest)
    cdef object _profile(self)
    cpdef object reroute(self)
    @cython.locals(request=RoutingRequest, route=Route)
    cdef object _choose(self, bint stays=*)
    cdef object _select(self)
    cdef object _await_body(self, int resume)
    cpdef object on_model(self)
    cpdef object on_body(self)
    @cython.locals(request=RoutingRequest)
    cdef object _go_on(self)
    @cython.locals(request=RoutingRequest)
    cdef object _queue(self, Unavailable unavailable)
    @cython.locals(request=RoutingRequest)
    cdef object _settle_for(self, Unavailable unavailable)
    cdef object _unavailable(self, Unavailable unavailable)
    cpdef object on_selected(self, Selection selection)
    cpdef object on_queue_timeout(self, Unavailable unavailable)
