"""Filters for the words about a device. Each takes a device from `with_state()`."""

from django import template

from tokens import stories

register = template.Library()
register.filter(stories.alarm_text)
register.filter(stories.ended_note)
register.filter(stories.ended_text)
register.filter(stories.refused_text)
register.filter("seen", stories.seen_text)
