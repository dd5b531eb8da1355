from balancer.policy cimport Shares

cdef class Backend:
    cdef public str id, track, host
    cdef public int port
    cdef public bint usable, watched
    cdef public int errors
    cdef public Py_ssize_t in_flight
    cdef public double suspect_until, since

cdef class Route:
    cdef public str name
    cdef public dict weights, tracks
    cdef public dict _usable, _turns
    cdef public Shares _shares
    cdef public object rules, steering, trusted, mirror, protocols, timeouts
    cdef public bint alert, gateway_errors, _is_in_turn
    cdef public double tunnel_idle_seconds, _slow_start, _warm_at
    cdef public dict _steering_told, _warm_ups
    cdef public object _clock
    cpdef Backend choose(self, object tried=*)
    cpdef str next_track(self)
    cpdef Backend choose_in(self, str track, object tried=*)
    cpdef bint serves(self, Backend backend) except -1
    cpdef Backend _among(self, str track, object tried)
