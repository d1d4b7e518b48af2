vcl 4.1;

# varnish as an edge of the CDN. What it does not have it asks of HAProxy beside it, which speaks TLS.

backend shield {
    .host = "127.0.0.1";
    .port = "8081";
}

acl may_purge {
    "192.168.1.0"/24;
    "203.0.113.0"/24;
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ may_purge) {
            return (synth(403));
        }
        if (req.restarts == 0) {
            return (purge);
        }
        return (pass);
    }

    # The client is who opened the connection, whatever the request says.
    set req.http.X-Forwarded-For = client.ip;
    unset req.http.Forwarded;
    unset req.http.X-Real-IP;

    # What was stored may answer a request with credentials: RFC 9111 section 3.5 says what may be stored.
    if (req.http.Authorization && !req.http.Cookie && (req.method == "GET" || req.method == "HEAD")) {
        return (hash);
    }
}

sub vcl_purge {
    # The shield must forget it too.
    return (restart);
}

sub vcl_backend_response {
    if (bereq.http.Authorization && beresp.http.Cache-Control !~ "public|s-maxage|must-revalidate") {
        set beresp.uncacheable = true;
        set beresp.ttl = 120s;
    }
    # What is stale is kept, to be validated.
    set beresp.keep = 1h;
}

sub vcl_deliver {
    if (obj.hits > 0) {
        set resp.http.Cache-Status = "edge; hit";
    } else {
        set resp.http.Cache-Status = "edge; fwd=miss";
    }
}
