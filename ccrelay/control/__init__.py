"""The management API's doors: who may call, two protocols over the same servicers, and a client.

authorise      who may call what: the one table, the one decision
throttle       delays the answers to wrong tokens; `denials` logs what was denied
token_file     the token of TCP; `peer` tells the user of a Unix connection
server         accepts, and looks at the first bytes; `connections` counts them
streams        the bytes of a connection, with limits
splice         HTTP/2 goes on to `native`, grpc.aio behind a socket in `private_folder`;
               `h2_authority` reads in passing what grpc does not tell
http, web      HTTP/1.1 and its answers
bridge         gRPC-web, with `frames` and `web_context`
methods        what can be called; `calls` runs it, `errors` are what comes of failures
client         for faces: without grpc and asyncio; `web_response` reads what comes
"""
