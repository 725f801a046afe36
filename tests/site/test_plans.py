"""No page of the admin reads or sorts a whole table: how the database means to find each is
looked at, with so many rows that its planner has a choice."""

import json
import re

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from accounts.models import User
from benchmarks import population
from benchmarks.admin import pages
from tokens.models import DailyCount, IssuedToken

pytestmark = [
    pytest.mark.xdist_group("plans"),  # or each worker fills the tables
    pytest.mark.no_cover,
]

USERS, DEVICES = 20_000, 10_000
# Rows that a list counts and the overview looks at: these tables are smaller than real ones. More
# than the longest page holds, as in earnest: a list of one page is not cut.
COUNTED = 100
TABLES = "tokens_issuedtoken", "accounts_user"

# What ends many devices counts them exactly, of how many people, and by client and place.
COUNTS_EXACTLY = {
    "Revoke 100,000 devices, asked",
    "Incident, in the crowded /24",
    "Incident, on ChromeOS",
}


@pytest.fixture(scope="module")
def large_site(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        population.fill(users=USERS, devices=DEVICES)
        yield
        IssuedToken.objects.all()._raw_delete(using="default")
        User.objects.filter(is_staff=True).delete()
        User.objects.all()._raw_delete(using="default")


@pytest.fixture
def support(large_site, db, monkeypatch):
    """A signed-in browser of the support, on a site that has counted the days that are over."""
    monkeypatch.setattr("accounts.admin.lists.MAX_COUNTED", COUNTED)
    monkeypatch.setattr("tokens.overview.SAMPLE_SIZE", COUNTED)
    monkeypatch.setattr("tokens.admin.filters.CROWD_SIZE", COUNTED)
    DailyCount.objects.recent()
    cache.clear()
    client = Client()
    client.force_login(User.objects.get(username=population.SUPPORT))
    return client


def selects_of(page, client):
    """The statements that read for the page, with their parameters."""
    sent = []

    def keep(execute, sql, params, many, context):
        sent.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(keep):
        page.open(client)
    return [(sql, params) for sql, params in sent if sql.startswith("SELECT")]


def faults_of(sql, params):
    """What the plan of the statement has against it, in words."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
            (plan,) = cursor.fetchone()
            plan = json.loads(plan) if isinstance(plan, str) else plan
            return [fault for node in nodes(plan[0]["Plan"]) for fault in faults_of_node(node)]
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        return faults_of_steps([step[-1] for step in cursor.fetchall()])


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def faults_of_node(node):
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in TABLES:
        yield f"reads all of {node['Relation Name']}"
    if node["Node Type"] == "Sort" and node["Plans"][0]["Actual Rows"] > DEVICES / 5:
        yield f"sorts {node['Plans'][0]['Actual Rows']} rows"


def faults_of_steps(steps):
    """The partial indexes of users hold few: SQLite may sort what it finds in them."""
    scanned = [step for step in steps if re.match(rf"SCAN ({'|'.join(TABLES)})\b", step)]
    scanned = [step for step in scanned if " USING INDEX user_" not in step]
    yield from (step for step in scanned if " USING " not in step)
    if scanned and "USE TEMP B-TREE FOR ORDER BY" in steps:
        yield f"{scanned[0]}, then a sort"


def test_no_page_reads_or_sorts_a_whole_table(support):
    faults = {}
    for page in pages(support):
        for sql, params in selects_of(page, support):
            faults.setdefault(page.name, []).extend(faults_of(sql, params))
    assert {name for name, found in faults.items() if found} <= COUNTS_EXACTLY, faults


def test_look_at_plans_sees_what_it_is_for(large_site, db):
    """A sort by what no index holds reads all, and sorts all."""
    statement = IssuedToken.objects.order_by("user_agent").values("pk").query.sql_with_params()
    assert list(faults_of(*statement))
