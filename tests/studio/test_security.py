"""Who is answered: this machine's own page with the token, and nobody else."""

import re

import pytest
from starlette.websockets import WebSocketDisconnect

from featlab.studio.security import new_token

PATHS = ["/", "/api/state", "/api/jobs", "/api/samples?model=zoo:fashion-robust", "/api/unit.png", "/nowhere"]


@pytest.fixture
def room(studio):
    return studio()


def asked(room, path, **headers):
    """Ask without the client's own token."""
    client = room.client
    sent = {name: value for name, value in headers.items() if value is not None}
    return client.get(path, headers={"x-featlab-token": "", **{k.replace("_", "-"): v for k, v in sent.items()}})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", ["", "wrong", "s3cret-s3cret-s3cre", "s3cret-s3cret-s3crets", "é", "%"])
def test_without_the_token_nothing_is_answered(room, path, token):
    joint = "&" if "?" in path else "?"
    answer = asked(room, f"{path}{joint}token={token}")
    assert answer.status_code == 403
    assert "token" in answer.json()["error"]
    assert room.client.get(path, headers={"x-featlab-token": token.encode("utf-8")}).status_code == 403


def test_the_token_is_taken_from_the_address_or_the_header(room):
    assert asked(room, "/?token=s3cret-s3cret-s3cret").status_code == 200
    assert asked(room, "/api/jobs?token=s3cret-s3cret-s3cret").json() == {"running": 0}
    assert room.get("/api/jobs").status_code == 200


def test_a_token_is_long_and_never_twice_the_same():
    tokens = {new_token() for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) >= 43 and re.fullmatch(r"[\w-]+", token) for token in tokens)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "127.0.0.1", "127.0.0.1:80", "localhost:1", "127.0.0.1:8765.evil.org", ""],
)
def test_another_name_of_this_machine_is_refused(room, host):
    for path in ("/", "/api/state", "/static/index.html"):
        assert room.client.get(path, headers={"host": host}).status_code == 403
    with pytest.raises(WebSocketDisconnect), room.socket(headers={"host": host}):
        pass


def test_localhost_is_a_name_of_this_machine(room):
    headers = {"host": "localhost:8765", "origin": "http://localhost:8765"}
    assert room.client.get("/api/jobs", headers=headers).status_code == 200
    with room.socket(headers=headers):
        pass


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://127.0.0.1:8765",
        "http://127.0.0.1:8766",
        "null",
        "http://127.0.0.1:8765.evil.org",
    ],
)
def test_another_sites_page_is_refused_even_with_the_token(room, origin):
    for path in ("/", "/api/state"):
        answer = room.client.get(path, headers={"origin": origin})
        assert answer.status_code == 403
        assert "another site" in answer.json()["error"]
    upload = room.client.post("/api/uploads?model=zoo:fashion-robust", content=b"", headers={"origin": origin})
    assert upload.status_code == 403
    with pytest.raises(WebSocketDisconnect), room.socket(headers={"origin": origin}):
        pass


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_socket_needs_the_token(room, token):
    with pytest.raises(WebSocketDisconnect) as refused, room.socket(token=token):
        pass
    assert refused.value.code == 1008


def test_every_answer_says_that_nothing_comes_from_outside(room):
    answers = [
        room.get("/"),
        room.get("/api/state"),
        room.get("/static/index.html"),
        room.get("/api/sample.png"),
        asked(room, "/"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 400, 403]
    for answer in answers:
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["img-src"] == "'self' blob: data:"
        assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
        assert "unsafe" not in str(policy)
        assert "http" not in str(policy)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2fapp.py",
        "/static//etc/passwd",
        "/static/....//app.py",
        "/static/%00",
        "/../../etc/passwd",
        "/api/../../etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_static_folder(room, path):
    answer = room.client.get(path)
    assert answer.status_code in (403, 404)
    assert "import" not in answer.text
    assert "root:" not in answer.text


def test_only_reading_is_answered_where_nothing_is_sent(room):
    for method in ("post", "put", "delete", "options", "patch"):
        answer = getattr(room.client, method)("/api/state")
        assert answer.status_code == 405
    assert room.get("/api/uploads").status_code == 405
