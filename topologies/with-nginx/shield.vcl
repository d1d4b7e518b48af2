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
}

sub vcl_backend_response {
    set beresp.keep = 1h;
}
