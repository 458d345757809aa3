"""Errors in AWS's event streams. The contract."""

cpdef bytes quoted(bytes text)
cpdef bytes unquoted(bytes value)
cpdef bytes exception_event(bytes name, bytes payload)
cpdef bytes error_event(bytes raw_name, bytes message, bytes status)
cpdef tuple exception_of(bytes data)
