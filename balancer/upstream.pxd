from balancer.exchange cimport Exchange
from balancer.routes cimport Backend

cdef class Upstream:
    cdef public object _loop, transport, _parser
    cdef public Backend backend
    cdef public Exchange exchange
    cdef public bint reused, closed, _switched, _held, _ended, _in_head, _whole, _keep, _stray, _sized
    cdef public double idle_since
    cdef public Pool _pool
    cdef public Py_ssize_t _head_bytes
    cdef public long long _left
    cdef public list _lines
    cdef public bytes _coding, _protocol
    cdef public set _options
    cpdef begin(self, Exchange exchange)
    cpdef _fresh(self)
    cpdef _fresh_head(self)
    cpdef data_received(self, bytes data)
    cpdef bint _take_plain(self, Exchange exchange, bytes data) except -1
    cpdef _count_body(self, Exchange exchange, bytes data)
    cpdef _parse(self, Exchange exchange, bytes data)
    cpdef _finish(self, Exchange exchange)
    cpdef hold(self)
    cpdef go_on(self)

cdef class Pool:
    cdef public object _loop
    cdef public dict _idle
    cpdef Upstream take(self, Backend backend, double idle_seconds)
    cpdef put(self, Upstream upstream)
    cpdef forget(self, Upstream upstream)
    cpdef drop(self, Backend backend)
    cpdef sweep(self, double now)
