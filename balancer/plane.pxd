from balancer.accesslog cimport AccessLog
from balancer.counters cimport Counters
from balancer.exchange cimport Exchange
from balancer.upstream cimport Pool

cdef class Plane:
    cdef public object clock, outcomes, census
    cdef public set clients, tunnels
    cdef public Pool pool
    cdef public Counters metrics
    cdef public AccessLog access_log
    cdef public bint stopping
    cdef public str _id_prefix
    cdef public long long _ids
    cpdef bytes next_id(self)
    cpdef finished(self, Exchange exchange)
