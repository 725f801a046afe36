"""The pages as a browser reads them."""

import re
from html.parser import HTMLParser

from tokens.models import IssuedToken

BLOCKS = {"dd", "div", "dt", "h1", "h2", "h3", "li", "p", "summary"}


class Page(HTMLParser):
    """An answer as a browser reads it: its elements, and its text with single spaces."""

    def __init__(self, answer, status=200):
        super().__init__()
        assert answer.status_code == status, answer
        self.elements, self.words = [], []
        self.html = answer.content.decode()
        self.feed(self.html)
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.words.append(" " if tag in BLOCKS else "")

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self):
        return [link["href"] for link in self.all("a")]


def is_signed_in(browser):
    return browser.get("/account/").status_code == 200


def other_device(user, api, **fields):
    """An `api` device of the user, with these values in its row."""
    client = api(user)
    IssuedToken.objects.filter(pk=client.device.pk).update(**fields)
    return client


def reset_link(messages):
    [message] = messages
    return re.search(r"https://testserver(/password/reset/\S+)", message.body)[1]
