vcl 4.1;

# varnish as the shield: whom the edges ask, so that the origin is asked once for all of them.

backend origin {
    .host = "127.0.0.1";
    .port = "8081";
}

acl may_purge {
    "198.51.100.8"/29;
    "192.0.2.8"/29;
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ may_purge) {
            return (synth(403));
        }
        return (purge);
    }

    # What was stored may answer a request with credentials: RFC 9111 section 3.5 says what may be stored.
    if (req.http.Authorization && !req.http.Cookie && (req.method == "GET" || req.method == "HEAD")) {
        return (hash);
    }
}

sub vcl_backend_response {
    if (bereq.http.Authorization && beresp.http.Cache-Control !~ "public|s-maxage|must-revalidate") {
        set beresp.uncacheable = true;
        set beresp.ttl = 120s;
    }
    set beresp.keep = 1h;
    # Stale responses are for the edges to give; they come here for a fresh one.
    set beresp.grace = 0s;
}
