from balancer.frontend cimport Client
from balancer.request cimport Request
from balancer.routes cimport Backend, Route
from balancer.upstream cimport Upstream

cdef class Exchange:
    cdef public Client client
    cdef public Request request
    cdef public Route route
    cdef public Backend backend
    cdef public Upstream upstream
    cdef public int status
    cdef public long long bytes_out
    cdef public bint head_sent, over, ends_with_connection, _chunk, _counted, _retried, _stale
    cdef public bytes _held
    cdef public list _tried, trailers
    cdef public str _failure
    cdef public object _connecting, tunnel
    cdef public double _last
    cpdef start(self)
    cpdef _go_to(self, Backend backend)
    cpdef _send(self, Upstream upstream)
    cpdef request_body(self, bytes part)
    cpdef interim(self, int status, list lines)
    cpdef response_head(self, int status, list lines, bint unsized_body, bint unframed)
    cpdef response_body(self, bytes data)
    cpdef flush(self)
    cpdef response_end(self)
    cpdef upstream_failed(self, str why)
    cpdef check_time(self, double now)
    cpdef touch(self)
    cpdef cancel(self)
    cpdef stop(self, int status, str why)
    cpdef _drop_upstream(self)
    cpdef _give_up(self)
    cpdef _release(self)
    cpdef _finish(self)
