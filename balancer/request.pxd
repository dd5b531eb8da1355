cdef class Request:
    cdef public double started
    cdef public object route
    cdef public bytes address, proto, protocol, method, target, host, id, head, length, lines
    cdef public str version
    cdef public list _headers, body, trailers
    cdef public bint chunked, takes_trailers, keep_alive, upgrade, complete, body_sent
    cdef public object answer, steered
    cdef public Py_ssize_t waiting_bytes
    cpdef bint may_repeat(self) except -1
    cpdef check(self, bytes proto=*)
    cpdef _check_length(self, bytes value)
    cpdef _check_coding(self, bytes value)
    cpdef _check_host(self, list hosts)
    cpdef _check_target(self, bytes proto)
    cpdef make_head(self, object asked)
