from balancer.exchange cimport Exchange
from balancer.plane cimport Plane
from balancer.request cimport Request

cdef class Client:
    cdef public Plane worker
    cdef public object names
    cdef public object transport, _parser, _waiting, _refused
    cdef public object asked, offer, _pace
    cdef public bint _counted
    cdef public long long _body_bytes
    cdef public bytes address, proto, _line, _tail
    cdef public Request _reading
    cdef public Py_ssize_t _head_bytes, _left
    cdef public bint _tls, _paused, _in_head, _plain, _last, _closing, _half_closed, _full
    cdef public Exchange _exchange
    cdef public double _since
    cpdef data_received(self, bytes data)
    cpdef _parse(self, bytes data)
    cpdef Py_ssize_t _take_plain(self, bytes data, Py_ssize_t start) except -1
    cpdef Py_ssize_t _count_body(self, bytes data, Py_ssize_t start) except -1
    cpdef bint _accept(self, Request request) except -1
    cpdef on_body(self, bytes data)
    cpdef on_message_complete(self)
    cpdef _begin_later(self, bytes line)
    cpdef Py_ssize_t _end(self, bytes data, Py_ssize_t start) except -1
    cpdef _feed(self, bytes part)
    cpdef _after_upgrade(self)
    cpdef _too_large(self)
    cpdef _part(self, Request request, bytes part)
    cpdef _start(self, Request request)
    cpdef exchange_over(self, Exchange exchange)
    cpdef _next(self)
    cpdef _refuse(self)
    cpdef _close(self, bint unread=*)
    cpdef write(self, bytes data)
    cpdef abort(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef check_time(self, double now)
    cpdef close_if_idle(self)
    cpdef cut(self, object backend)
