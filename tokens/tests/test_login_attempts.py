"""A right password is decided with the device that it adds, and by itself if it adds none."""

from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from accounts.forms import LoginForm
from accounts.models import Throttle, User
from accounts.throttling import counting
from accounts.throttling.subjects import Key, hash_network
from tests.plugins.guestlist import PASSWORD
from tokens import flows
from tokens.client import Client
from tokens.flows.login import MAX_LOGINS_PER_HOUR
from tokens.models import IssuedToken

ADDRESS = "203.0.113.1"


def counts():
    """The kind, the attempts and the undecided ones of each count that is not a marker."""
    rows = Throttle.objects.exclude(kind="known").values_list("kind", "count", "undecided")
    return sorted(rows)


def log_in(api, password=PASSWORD):
    http = api(REMOTE_ADDR=ADDRESS)
    return http.post("login", {"username": "alice", "password": password}).status_code


def fail_at(words):
    """Fail at the statement that begins so."""

    def fail(execute, sql, params, many, context):
        if sql.startswith(words):
            raise OperationalError("gone")
        return execute(sql, params, many, context)

    return connection.execute_wrapper(fail)


def test_success_is_decided_in_the_transaction_of_the_device(api, alice):
    log_in(api, "wrong")
    with CaptureQueriesContext(connection) as captured:
        assert log_in(api) == 200

    said = [query["sql"] for query in captured]
    [added] = [at for at, sql in enumerate(said) if "tokens_issuedtoken" in sql and "INSERT" in sql]
    [forgot] = [at for at, sql in enumerate(said) if sql.startswith("DELETE")]
    ends = [at for at, sql in enumerate(said) if sql.startswith("RELEASE")]
    assert added < forgot < ends[-1]
    assert not [end for end in ends if added < end < forgot]
    assert counts() == [("login_address", 1, 0)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("broken", ['UPDATE "accounts_user"', 'INSERT INTO "tokens_issuedtoken"'])
def test_success_of_a_login_that_fails_is_decided_all_the_same(api, alice, broken):
    log_in(api, "wrong")
    with fail_at(broken):
        assert log_in(api) == 503

    assert counts() == [("login_address", 1, 0)]
    assert not alice.devices.exists()
    assert User.objects.get().last_login is None


@pytest.mark.django_db(transaction=True)
def test_device_is_not_added_without_the_decision(api, alice):
    """Both are one transaction. What is left is the wait of an attempt that crashed."""
    with fail_at("DELETE FROM accounts_throttle"):
        assert log_in(api) == 503

    assert not alice.devices.exists()
    assert {undecided for _, _, undecided in counts()} == {1}


def test_success_beyond_the_sign_ins_of_an_hour_is_decided(api, alice, age):
    for _ in range(MAX_LOGINS_PER_HOUR):
        flows.log_in(alice, Client(ip_address=None))

    assert log_in(api) == 429

    assert counts() == []


def test_success_of_an_account_that_changed_meanwhile_is_decided(alice, rf):
    request = rf.post("/", REMOTE_ADDR=ADDRESS)
    user = authenticate(request, username="alice", password=PASSWORD, keep_attempt=True)
    User.objects.update(is_active=False)
    assert counts()

    with pytest.raises(flows.Refused):
        flows.log_in(user, Client(ip_address=ADDRESS))

    assert counts() == []


def test_attempt_is_decided_once(alice, bob, rf):
    request = rf.post("/", REMOTE_ADDR=ADDRESS)
    user = authenticate(request, username="alice", password=PASSWORD, keep_attempt=True)
    flows.log_in(user, Client(ip_address=ADDRESS))
    counting.begin(Key("login_address", address=hash_network(ADDRESS)))  # of somebody else

    flows.log_in(user, Client(ip_address=ADDRESS))

    assert counts() == [("login_address", 1, 1)]


def test_caller_who_does_not_keep_the_attempt_has_it_decided(alice, rf):
    user = authenticate(rf.post("/"), username="alice", password=PASSWORD)

    assert user.attempt is None
    assert counts() == []


def test_form_that_is_not_valid_after_a_right_password_decides_it(alice, rf):
    class Refusing(LoginForm):
        def confirm_login_allowed(self, user):
            raise self.get_invalid_login_error()

    form = Refusing(rf.post("/"), {"username": "alice", "password": PASSWORD})

    assert not form.is_valid()
    assert form.get_user().attempt is None
    assert counts() == []


def test_page_decides_with_its_device_too(client, alice):
    client.post("/login", {"username": "alice", "password": "wrong"})
    with CaptureQueriesContext(connection) as captured:
        client.post("/login", {"username": "alice", "password": PASSWORD})

    said = [query["sql"] for query in captured]
    [added] = [at for at, sql in enumerate(said) if "tokens_issuedtoken" in sql and "INSERT" in sql]
    [forgot] = [at for at, sql in enumerate(said) if sql.startswith("DELETE")]
    assert not [sql for sql in said[added:forgot] if sql.startswith("RELEASE")]
    assert counts() == [("login_address", 1, 0)]
    assert IssuedToken.objects.get().created_at == User.objects.get().last_login


def test_last_login_is_the_moment_of_the_device(api, alice):
    log_in(api)
    assert alice.devices.get().created_at == User.objects.get().last_login


def test_token_of_a_script_is_no_login(alice):
    flows.issue_token(alice, name="backup", lasts=timedelta(days=1))
    assert User.objects.get().last_login is None
