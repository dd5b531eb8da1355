cdef class AccessLog:
    cdef public object _path, _clock, _file
    cdef public list _lines
    cdef public long long _second
    cdef public str _begin
    cdef public dict _who
