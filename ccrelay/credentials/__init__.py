"""The credentials process: obtains and renews the credentials of clouds with their libraries."""
